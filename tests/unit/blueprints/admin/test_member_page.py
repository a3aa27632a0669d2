"""The page of one account: what it shows and which actions it offers."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from church.extensions import db
from church.models import User
from church.models.base import utc_now
from church.services import email_links
from church.services.accounts import members
from church.services.audit import Actor
from church.services.email_links import Purpose
from tests.support.desk import JSON, AdminBrowser, call_in_context
from tests.support.membership_admin import subscribe
from tests.support.people import add_user, sign_in
from tests.support.stripe_fixture import SiteWithFakeStripe


@pytest.fixture
def app(shop: SiteWithFakeStripe) -> Flask:
    """The site with the fake Stripe."""
    return shop.app


def path_of(user: User) -> str:
    return f"/admin/members/{user.ref}"


def test_buttons_that_shut_someone_out_are_red_and_the_others_are_not(desk: AdminBrowser, ada: User) -> None:
    page = desk.get(path_of(ada)).text
    kinds = {
        words: kind for kind, words in re.findall(r'class="button([\w -]*)">(?:<svg.*?</svg>)?([\w ]+)</button>', page)
    }
    red = {words for words, kind in kinds.items() if "danger" in kind}
    assert red == {"Sign out everywhere", "Disable account"}
    assert {"Make admin", "Send email", "Give premium"} <= kinds.keys() - red


def test_member_page_shows_devices_and_history(desk: AdminBrowser, ada: User, app: Flask) -> None:
    sign_in(app, ada)
    call_in_context(app, members.end_sessions, ada.ref, Actor(desk.user.id))
    sign_in(app, ada)
    page = desk.get(path_of(ada)).text
    assert all(words in page for words in ("ada@church.example", "Firefox on Linux", "member.sessions_ended", "Boss"))
    found = desk.get(path_of(ada), **JSON).json["dossier"]  # type: ignore[index]
    assert found["member"]["state"] == "active"
    assert found["history"][0]["detail"] == {"sessions": 1}
    assert "password_hash" not in str(found)


def test_member_page_shows_how_long_a_password_link_is_valid(desk: AdminBrowser, ada: User, app: Flask) -> None:
    invited = add_user(app, "new@church.example", password_hash=None)
    assert (email_links.LIFETIMES[Purpose.RESET], email_links.INVITATION) == (timedelta(hours=1), timedelta(days=7))
    assert "It works for one hour. The current password works" in desk.get(path_of(ada)).text
    assert "It works for 7 days. The account has no password yet." in desk.get(path_of(invited)).text


def test_pages_offer_only_actions_that_fit_the_account(desk: AdminBrowser, app: Flask, ada: User) -> None:
    def offered() -> set[str]:
        return set(re.findall(rf'action="{path_of(ada)}/([\w-]+)"', desk.get(path_of(ada)).text))

    assert offered() == {"role", "end-sessions", "reset", "disable", "grants"}
    call_in_context(app, members.disable_account, ada.ref, Actor(via="cli"))
    assert offered() == {"role", "end-sessions", "enable", "grants"}


@pytest.mark.parametrize(("status", "goes_on"), [("active", True), ("past_due", True), ("canceled", False)])
def test_disabling_a_paying_account_warns_that_payments_continue(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User, status: str, goes_on: bool
) -> None:
    subscribe(shop, ada, status=status)
    page = desk.get(path_of(ada)).text
    assert ("cancel it at Stripe" in page) is goes_on


def test_member_page_shows_own_subscriptions_without_the_forms_of_the_deleted(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User
) -> None:
    subscribe(shop, ada)
    page = desk.get(path_of(ada)).text
    assert "patron, $12.00 a month" in page
    assert f'href="/admin/membership/ledger?member={ada.ref}"' in page
    with shop.app.app_context(), db.write() as session:
        nothing = {"email": None, "email_key": None, "password_hash": None, "name": ""}
        session.execute(update(User).where(User.id == ada.id).values(deleted_at=utc_now(), **nothing))
    assert "/grants" not in desk.get(path_of(ada)).text
