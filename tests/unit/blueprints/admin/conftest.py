"""An admin's browser, a member, and a site with the fake Stripe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from church.config import Settings
from church.models.accounts import Role, User
from tests.support.browsing import Browser
from tests.support.databases import copy_database
from tests.support.desk import AdminBrowser, add_person
from tests.support.people import add_user
from tests.support.store_stand_in import StoreStandIn, running_stand_in
from tests.support.stripe_fixture import SiteWithFakeStripe


@pytest.fixture
def desk(app: Flask) -> AdminBrowser:
    """The browser of Boss, an admin."""
    return AdminBrowser(app, add_person(app, "boss@church.example", name="Boss", role="admin"))


@pytest.fixture
def ada(app: Flask) -> User:
    """A member."""
    return add_person(app, "ada@church.example")


@pytest.fixture
def shop(settings: Settings, migrated_file: Path) -> Iterator[SiteWithFakeStripe]:
    """A site that takes payments, with the fake Stripe."""
    copy_database(migrated_file, settings)
    shop = SiteWithFakeStripe(settings)
    shop.app.testing = True
    yield shop
    shop.close()


@pytest.fixture
def admin(app: Flask) -> Browser:
    """The browser of an admin who uploads videos."""
    return Browser(app, add_user(app, role=Role.ADMIN.value))


@pytest.fixture
def store(app: Flask) -> Iterator[StoreStandIn]:
    """A stand-in for the telemetry store of the site."""
    with running_stand_in(app.config["CHURCH"].instance) as stand_in:
        yield stand_in
