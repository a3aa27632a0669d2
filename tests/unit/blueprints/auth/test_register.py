"""Registration, by forms and as JSON."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select

from church.extensions import db
from church.models import User
from church.observability.metrics import definitions
from tests.support.browsing import (
    Browser,
    expect_attempt,
    follow_redirect,
    list_emails,
    newest_link_token,
)
from tests.support.helpers import grows
from tests.support.people import PASSWORD, add_user

FORM = {"email": "eve@church.example", "name": "Eve", "password": PASSWORD}


def registered_user(app: Flask) -> User:
    """Load Eve's account."""
    with app.app_context(), db.read() as session:
        return session.scalars(select(User).where(User.email_key == "eve@church.example")).one()


def test_register_asks_to_check_the_inbox(app: Flask) -> None:
    browser = Browser(app)
    with expect_attempt("registration", "success"), grows(definitions.user_registrations.labels("web")):
        answer = browser.submit("/auth/register", FORM)
    assert answer.location == "/auth/sent/register"
    assert "Check your inbox" in follow_redirect(browser, answer)
    assert list_emails(app) == [("verify", "eve@church.example")]
    assert registered_user(app).verified_at is None


def test_register_as_json(app: Flask) -> None:
    answer = Browser(app).post_json("/auth/register", FORM)
    assert answer.status_code == 202
    assert answer.json is not None
    assert list(answer.json) == ["detail"]
    assert list_emails(app) == [("verify", "eve@church.example")]


def test_register_known_address_gets_the_same_answer(app: Flask) -> None:
    add_user(app, "eve@church.example")
    taken, free = Browser(app), Browser(app)
    with expect_attempt("registration", "failed_exists"):
        known = taken.submit("/auth/register", FORM)
    unknown = free.submit("/auth/register", {**FORM, "email": "new@church.example"})
    assert (known.status_code, known.location, known.data) == (unknown.status_code, unknown.location, unknown.data)
    assert sorted(known.headers.keys()) == sorted(unknown.headers.keys())
    assert follow_redirect(taken, known) == follow_redirect(free, unknown)
    assert list_emails(app) == [("already_registered", "eve@church.example"), ("verify", "new@church.example")]
    kept = []
    for browser in (taken, free):
        with browser.client.session_transaction() as session:
            kept.append({name: len(value) for name, value in session.items()})
    assert kept[0] == kept[1]  # the browser can read its cookie


def test_register_as_json_known_address_gets_the_same_answer(app: Flask) -> None:
    add_user(app, "eve@church.example")
    known = Browser(app).post_json("/auth/register", FORM)
    unknown = Browser(app).post_json("/auth/register", {**FORM, "email": "new@church.example"})
    assert (known.status_code, known.data) == (unknown.status_code, unknown.data)


def test_register_invalid_form_is_shown_again_without_password(app: Flask) -> None:
    form = {"email": "not an <address>", "name": "Eve", "password": "quite secret", "next": "/pages/x"}
    with expect_attempt("registration", "failed_validation"):
        answer = Browser(app).submit("/auth/register", form)
    assert answer.status_code == 422
    assert answer.mimetype == "text/html"
    assert 'value="not an &lt;address&gt;"' in answer.text
    assert 'value="Eve"' in answer.text
    assert 'value="/pages/x"' in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert "quite secret" not in answer.text


def test_register_as_json_lists_errors_by_field(app: Flask) -> None:
    with expect_attempt("registration", "failed_validation"):
        answer = Browser(app).post_json("/auth/register", {"email": "x", "password": "short", "name": "n" * 81})
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert set(answer.get_json(force=True)["errors"]) == {"email", "password", "name"}


def test_register_unknown_fields_are_ignored(app: Flask) -> None:
    Browser(app).post_json("/auth/register", {**FORM, "role": "admin", "verified": True, "id": 1, "is_admin": True})
    assert (registered_user(app).role, registered_user(app).verified_at) == ("member", None)


def test_register_returns_to_the_page_it_began_at(app: Flask) -> None:
    browser = Browser(app)
    browser.submit("/auth/register", {**FORM, "next": "/pages/x?a=b"})
    answer = browser.get(f"/auth/verify/{newest_link_token(app, 'verify')}")
    assert answer.location == "/auth/login?next=/pages/x%3Fa%3Db"


def test_register_form_redirects_signed_in_members(browser: Browser) -> None:
    assert browser.get("/auth/register").location == "/auth/account"
    assert browser.get("/auth/register?next=/pages/").location == "/pages/"
    assert browser.get("/auth/register?next=//evil.example").location == "/auth/account"


@pytest.mark.parametrize("what", ["register", "forgot", "verification", "email"])
def test_email_sent_page_is_shown(app: Flask, what: str) -> None:
    assert Browser(app).get(f"/auth/sent/{what}").status_code == 200


def test_email_sent_page_of_unknown_kind_is_not_found(app: Flask) -> None:
    assert Browser(app).get("/auth/sent/money").status_code == 404
