"""Confirmation of an email address, by forms and as JSON."""

from __future__ import annotations

import html
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import select

from church import create_app
from church.config import Settings
from church.extensions import db
from church.models import Link, Mail, User
from church.observability.metrics import definitions
from church.services.email.compose import EmailToSend, compose_message
from tests.support.browsing import (
    JSON,
    Browser,
    expect_attempt,
    follow_redirect,
    list_emails,
    load_account,
    newest_link_token,
)
from tests.support.helpers import grows, with_settings
from tests.support.people import PASSWORD, add_user

FORM = {"email": "eve@church.example", "name": "Eve", "password": PASSWORD}


def registered(app: Flask, browser: Browser) -> str:
    """Register Eve in ``browser`` and return the token of her email."""
    assert browser.submit("/auth/register", FORM).status_code == 303
    return newest_link_token(app, "verify")


def verified(app: Flask) -> bool:
    """Whether Eve's address is confirmed."""
    with app.app_context(), db.read() as session:
        return session.scalars(select(User.verified_at).where(User.email_key == "eve@church.example")).one() is not None


def test_verify_link_in_the_same_browser_confirms_at_once(app: Flask) -> None:
    browser = Browser(app)
    token = registered(app, browser)
    answer = browser.get(f"/auth/verify/{token}")
    assert "Email address confirmed." in follow_redirect(browser, answer)
    assert verified(app)


def test_verify_prefetch_confirms_nothing(app: Flask) -> None:
    browser = Browser(app)
    path = f"/auth/verify/{registered(app, browser)}"
    for headers in ({"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}):
        assert browser.get(path, headers=headers).status_code == 200
    assert browser.client.head(path).status_code == 200
    assert browser.client.options(path).status_code == 200
    assert not verified(app)


def test_verify_in_another_browser_needs_the_button(app: Flask) -> None:
    token = registered(app, Browser(app))
    other = Browser(app)
    page = other.get(f"/auth/verify/{token}")
    assert page.status_code == 200
    assert f'action="/auth/verify/{token}"' in page.text
    assert not verified(app)
    assert "Email address confirmed." in follow_redirect(other, other.submit(f"/auth/verify/{token}"))
    assert verified(app)


def test_verify_in_browser_of_a_duplicate_registration_needs_the_button(app: Flask) -> None:
    token = registered(app, Browser(app))
    other = Browser(app)
    other.submit("/auth/register", FORM)  # the address has an account by now, so this session knows none
    assert other.get(f"/auth/verify/{token}").status_code == 200
    assert not verified(app)


@pytest.mark.parametrize("in_path", [True, False])
def test_verify_as_json(app: Flask, in_path: bool) -> None:
    token = registered(app, Browser(app))
    program = Browser(app)
    assert program.get(f"/auth/verify/{token}", headers=JSON).json == {"state": "ask"}
    answer = (
        program.post_json(f"/auth/verify/{token}") if in_path else program.post_json("/auth/verify", {"token": token})
    )
    assert answer.status_code == 200
    assert verified(app)


def test_verify_used_or_wrong_link_shows_the_same_page(app: Flask) -> None:
    browser = Browser(app)
    token = registered(app, browser)
    browser.submit(f"/auth/verify/{token}")
    for bad in (token, token[:-2] + "xx", "1.x", "x", "9" * 40, "1.é"):
        for answer in (browser.get(f"/auth/verify/{bad}"), browser.submit(f"/auth/verify/{bad}")):
            assert answer.status_code == 400
            assert "This link no longer works" in answer.text
        problem = browser.get(f"/auth/verify/{bad}", headers=JSON)
        assert (problem.status_code, problem.content_type) == (400, "application/problem+json")


def test_verify_resend_emails_a_new_link(app: Flask) -> None:
    user = add_user(app, verified=False)
    browser = Browser(app, user)
    answer = browser.submit("/auth/verify/resend")
    assert answer.location == "/auth/sent/verification"
    assert browser.post_json("/auth/verify/resend").status_code == 202
    assert list_emails(app) == [("verify", user.email)] * 2
    browser.submit(f"/auth/verify/{newest_link_token(app, 'verify')}")
    assert load_account(app, user.ref).verified_at is not None
    assert browser.post_json("/auth/token").status_code == 200


# -- the page that an account came for ------------------------------------------------------------------------------

PAGE = "/pages/members?a=b&c=d"


def link_of_email(app: Flask) -> str:
    """Return path and query of the link in the newest email."""
    with app.app_context(), db.read() as session:
        mail = session.scalars(select(Mail).order_by(Mail.id.desc())).first()
        assert mail is not None
        letter = EmailToSend(
            mail.id, mail.template, mail.recipient, "", mail.context, session.get(Link, mail.link_id), mail.created_at
        )
        body = compose_message(letter).get_body(("plain",))
    assert body is not None
    return next(line for line in body.get_content().split() if "/auth/verify/" in line).partition("8000")[2]


def test_page_asked_for_opens_after_sign_in_and_confirmation(app: Flask) -> None:
    add_user(app, "eve@church.example", verified=False)
    browser = Browser(app)
    assert browser.submit("/auth/login", {**FORM, "next": PAGE}).location == PAGE
    browser.submit("/auth/verify/resend")
    token = newest_link_token(app, "verify")
    assert browser.submit(f"/auth/verify/{token}").location == PAGE
    assert browser.get("/auth/login").location == "/auth/account"  # it is opened once


def test_page_asked_for_at_registration_survives_a_sign_in_before_confirmation(app: Flask) -> None:
    browser = Browser(app)
    browser.submit("/auth/register", {**FORM, "next": PAGE})
    token = newest_link_token(app, "verify")
    assert browser.submit("/auth/login", FORM).location == PAGE
    answer = browser.get(f"/auth/verify/{token}")  # the browser that registered needs no button
    assert (answer.status_code, answer.location) == (303, PAGE)


def test_page_asked_for_opens_in_another_browser_too(app: Flask) -> None:
    Browser(app).submit("/auth/register", {**FORM, "next": PAGE})
    link, other = link_of_email(app), Browser(app)
    action = html.unescape(other.get(link).text.partition('action="/auth/verify')[2].partition('"')[0])
    answer = other.submit(f"/auth/verify{action}")
    assert answer.location == "/auth/login?next=/pages/members%3Fa%3Db%26c%3Dd"
    assert other.submit("/auth/login", {**FORM, "next": PAGE}).location == PAGE


def test_page_asked_for_by_an_unconfirmed_account_opens_after_confirmation(app: Flask) -> None:
    browser = Browser(app, add_user(app, "eve@church.example", verified=False))
    assert browser.get("/live/premium").status_code == 403
    assert browser.get("/live/members?x=1").status_code == 403
    browser.submit("/auth/verify/resend")
    assert "next=%2Flive%2Fpremium" in link_of_email(app)
    assert browser.submit(f"/auth/verify/{newest_link_token(app, 'verify')}").location == "/live/premium"


def test_page_asked_for_is_never_on_another_site(app: Flask) -> None:
    browser = Browser(app)
    token = registered(app, browser)
    assert browser.submit(f"/auth/verify/{token}?next=//evil.example").location == "/auth/login"


def test_page_asked_for_too_long_for_the_cookie_does_not_cost_the_sign_in(app: Flask) -> None:
    add_user(app, "eve@church.example", verified=False)
    browser = Browser(app)
    browser.submit("/auth/login", {**FORM, "next": "/" + "".join(map(chr, range(0x4E00, 0x4E00 + 1900)))})
    assert browser.get("/auth/account").status_code == 200


def test_page_asked_for_opens_after_a_password_reset(app: Flask) -> None:
    add_user(app, "eve@church.example")
    browser = Browser(app)
    browser.get(f"/auth/forgot?next={quote(PAGE)}")
    assert browser.submit("/auth/login", FORM).location == PAGE


NEW = "nine foxes in the orchard"


@pytest.mark.parametrize("path", ["verify", "verify/1.x", "verify/resend", "email/1.x"])
def test_link_limit_records_no_attempt_and_leaves_resets_alone(
    app: Flask, settings: Settings, ada: User, path: str
) -> None:
    browser = Browser(create_app(with_settings(settings, limit_link="1/hour", limit_reset="1/hour")), ada)
    with expect_attempt("reset", None), grows(definitions.rate_limit_hits.labels("link")):
        found = [browser.post_json(f"/auth/{path}", {"token": "1.x"}).status_code for _ in range(2)]
    assert found[0] in {202, 400}
    assert found[1] == 429
    with expect_attempt("reset", "failed_credentials"):
        assert browser.post_json("/auth/reset", {"token": "1.x", "password": NEW}).status_code == 400
