"""Confirmation of an email address, by forms and as JSON."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select

from church import create_app
from church.config import Settings
from church.extensions import db
from church.models import User
from church.observability.metrics import definitions
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
