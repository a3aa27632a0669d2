"""The site of the tests of sessions, and a member."""

from __future__ import annotations

import pytest
from flask import Flask

from church.models.accounts import User
from tests.support.people import add_user


@pytest.fixture
def app(on_both: Flask) -> Flask:
    """The site in its context, once on SQLite and once on PostgreSQL."""
    return on_both


@pytest.fixture
def ada(app: Flask) -> User:
    """A member."""
    return add_user(app)
