"""A forgotten password: the request for a link, and the new password."""

from __future__ import annotations

import pytest
from flask import Flask

from church import create_app, jobs
from church.config import Settings
from church.extensions import db
from church.models import User
from church.models.accounts import Purpose
from church.observability.metrics import definitions
from church.services import email_links
from tests.support.browsing import (
    JSON,
    Browser,
    expect_attempt,
    follow_redirect,
    list_audit_actions,
)
from tests.support.helpers import grows, with_settings
from tests.support.people import PASSWORD, add_user

NEW = "nine foxes in the orchard"


def reset_token(app: Flask, user: User) -> str:
    with app.app_context(), db.write() as session:
        link = email_links.make(session, Purpose.RESET, session.get(User, user.id), user.email)
        return email_links.link_token(link, [app.config["CHURCH"].secret_keys[0]])


def test_forgot_answer_is_the_same_without_an_account(app: Flask, ada: User) -> None:
    known, unknown = Browser(app), Browser(app)
    found = []
    for browser, email in ((known, ada.email), (unknown, "nobody@church.example")):
        with expect_attempt("reset", None):  # recorded when the link is used
            answer = browser.submit("/auth/forgot", {"email": email})
        found.append((answer.status_code, answer.location, answer.data, follow_redirect(browser, answer)))
    assert found[0] == found[1]
    assert found[0][1] == "/auth/sent/forgot"
    replies = [
        Browser(app).post_json("/auth/forgot", {"email": email}) for email in (ada.email, "nobody@church.example")
    ]
    assert replies[0].status_code == replies[1].status_code == 202
    assert replies[0].data == replies[1].data
    with app.app_context():
        assert jobs.count_pending_jobs()["accounts.forgot"] == 4


def test_forgot_invalid_address_shows_the_form_again(app: Flask) -> None:
    with expect_attempt("reset", None):
        answer = Browser(app).submit("/auth/forgot", {"email": "ada"})
        assert Browser(app).submit("/auth/forgot").status_code == 422
    assert answer.status_code == 422
    assert 'value="ada"' in answer.text


@pytest.mark.parametrize("path", ["reset", "reset/1.x"])
def test_reset_limit_records_an_attempt_for_links_but_not_for_requests(
    app: Flask, settings: Settings, path: str
) -> None:
    browser = Browser(create_app(with_settings(settings, limit_reset="1/hour")))
    hits = definitions.rate_limit_hits.labels("reset")
    with expect_attempt("reset", None), grows(hits):
        found = [browser.post_json("/auth/forgot", {"email": "x@church.example"}).status_code for _ in range(2)]
    assert found == [202, 429]
    with expect_attempt("reset", "failed_throttled"), grows(hits):
        assert browser.post_json(f"/auth/{path}", {"token": "1.x", "password": NEW}).status_code == 429


def test_reset_sets_the_password_and_ends_every_session(app: Flask, ada: User) -> None:
    elsewhere, browser, path = Browser(app, ada), Browser(app), f"/auth/reset/{reset_token(app, ada)}"
    page = browser.get(path)
    assert page.status_code == 200
    assert f'action="{path}"' in page.text
    assert f'value="{ada.email}" autocomplete="username"' in page.text
    assert browser.get(path, headers=JSON).json == {"state": "ask"}
    with expect_attempt("reset", "success"):
        answer = browser.submit(path, {"password": NEW})
    assert answer.location == "/auth/login"
    assert "Password changed." in follow_redirect(browser, answer)
    assert not elsewhere.is_signed_in()
    assert browser.post_json("/auth/login", {"email": ada.email, "password": PASSWORD}).status_code == 401
    assert browser.post_json("/auth/login", {"email": ada.email, "password": NEW}).status_code == 200


@pytest.mark.parametrize("own", [True, False])
def test_reset_signs_out_this_browser_whichever_account(app: Flask, ada: User, own: bool) -> None:
    user = ada if own else add_user(app, "eve@church.example")
    browser, copy, elsewhere = Browser(app, user), Browser(app), Browser(app, user)
    with browser.client.session_transaction() as cookie, copy.client.session_transaction() as other:
        other.update(cookie)
    assert copy.is_signed_in()
    browser.submit(f"/auth/reset/{reset_token(app, ada)}", {"password": NEW})
    assert [found.is_signed_in() for found in (browser, copy, elsewhere)] == [False, False, not own]
    assert list_audit_actions(app)[-1] == ("account.password_reset" if own else "account.sessions_ended")


def test_reset_with_invalid_link_keeps_the_browser_signed_in(app: Flask, ada: User) -> None:
    browser = Browser(app, ada)
    assert browser.submit("/auth/reset/1.x", {"password": NEW}).status_code == 400
    assert browser.is_signed_in()


def test_reset_clears_the_count_of_wrong_passwords(app: Flask, settings: Settings, ada: User) -> None:
    site = create_app(with_settings(settings, limit_login_account="2/hour"))
    here, wrong = Browser(site), {"email": ada.email, "password": "not this one at all"}
    assert [here.post_json("/auth/login", wrong).status_code for _ in range(3)] == [401, 401, 429]
    assert here.post_json("/auth/login", {"email": ada.email, "password": PASSWORD}).status_code == 429
    here.submit(f"/auth/reset/{reset_token(site, ada)}", {"password": NEW})
    assert here.post_json("/auth/login", wrong).status_code == 401
    assert here.post_json("/auth/login", wrong).status_code == 401
    assert here.post_json("/auth/login", {"email": ada.email, "password": NEW}).status_code == 200


def test_reset_as_json_with_token_in_body(app: Flask, ada: User) -> None:
    with expect_attempt("reset", "success"):
        answer = Browser(app).post_json("/auth/reset", {"token": reset_token(app, ada), "password": NEW})
    assert answer.status_code == 200
    with expect_attempt("reset", "failed_validation"):
        assert Browser(app).post_json("/auth/reset", {"password": NEW}).status_code == 422


def test_reset_weak_password_shows_the_form_and_keeps_the_link(app: Flask, ada: User) -> None:
    browser, path = Browser(app), f"/auth/reset/{reset_token(app, ada)}"
    for weak in ("short", "", "x" * 257):
        with expect_attempt("reset", "failed_validation"):
            answer = browser.submit(path, {"password": weak})
        assert answer.status_code == 422
        assert f'action="{path}"' in answer.text
        assert f'value="{ada.email}" autocomplete="username"' in answer.text
    assert browser.submit(path, {"password": NEW}).status_code == 303


def test_reset_invalid_link_offers_a_new_one(app: Flask, ada: User) -> None:
    token = reset_token(app, ada)
    Browser(app).submit(f"/auth/reset/{token}", {"password": NEW})
    for bad in (token, "1.x", "x"):
        browser = Browser(app)
        with expect_attempt("reset", "failed_credentials"):
            answer = browser.submit(f"/auth/reset/{bad}", {"password": NEW})
        for shown in (answer, browser.get(f"/auth/reset/{bad}")):
            assert shown.status_code == 400
            assert "This link has been used, has expired or is incomplete." in shown.text
            assert 'action="/auth/forgot"' in shown.text
        problem = browser.get(f"/auth/reset/{bad}", headers=JSON)
        assert (problem.status_code, problem.content_type) == (400, "application/problem+json")


def test_reset_link_of_another_purpose_is_refused(app: Flask, ada: User) -> None:
    with app.app_context(), db.write() as session:
        link = email_links.make(session, Purpose.VERIFY, session.get(User, ada.id), ada.email)
        token = email_links.link_token(link, [app.config["CHURCH"].secret_keys[0]])
    assert Browser(app).submit(f"/auth/reset/{token}", {"password": NEW}).status_code == 400
