"""Fixtures of the billing tests: a member of a site with the till, and a site with an in-memory Stripe."""

from __future__ import annotations

import pytest
from flask import Flask

from church.models import User
from tests.support.membership_fixture import Membership
from tests.support.people import add_user
from tests.support.stripe_fixture import FakeStripe


@pytest.fixture
def user(membership: Membership) -> User:
    """A member of the site with the till."""
    return membership.add()


@pytest.fixture
def stripe_objects(at_work: Flask) -> FakeStripe:
    """An in-memory Stripe of the site ``at_work``, on SQLite and in its app context."""
    fake = FakeStripe()
    at_work.extensions["stripe"] = fake
    return fake


@pytest.fixture
def ada(at_work: Flask) -> User:
    """A member of the site ``at_work``."""
    return add_user(at_work, password_hash="x")
