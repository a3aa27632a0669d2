"""The doctor's check of accounts with the same address."""

from __future__ import annotations

import pytest
from flask import Flask

from church.config import Settings, current_settings
from church.doctor.accounts import check_accounts
from tests.support.people import add_user


@pytest.fixture
def site(app: Flask) -> Settings:
    with app.app_context():
        return current_settings()


def test_accounts_with_addresses_of_their_own_are_ok(app: Flask, site: Settings) -> None:
    for email in ("straße@example.org", "strasse@example.org", "Ada@example.org", "x@bücher.example"):
        add_user(app, email)
    assert check_accounts(site) == ("ok", "each has an address of its own", "")


def test_accounts_with_the_same_address_are_both_named(app: Flask, site: Settings) -> None:
    older = add_user(app, "x@bücher.example")
    newer = add_user(app, "X@bücher.example", email_key="x@bücher.example")
    state, finding, fix = check_accounts(site)
    assert state == "warn"
    assert finding == f"same address twice: x@bücher.example ({older.ref}) and X@bücher.example ({newer.ref})"
    assert "/admin/members" in fix
