"""Sign-in and sign-out, and access tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from church.database import DatabaseDownError
from church.services import sessions
from tests.support.browsing import JSON, Browser, expect_attempt, follow_redirect, list_audit_actions
from tests.support.people import PASSWORD, add_user

EMAIL = "ada@church.example"
RIGHT = {"email": EMAIL, "password": PASSWORD}
WRONG = {"email": EMAIL, "password": "not this one at all"}
NOBODY = {"email": "nobody@church.example", "password": "not this one at all"}


@pytest.fixture
def app(app: Flask) -> Flask:
    """A site where Ada has an account."""
    add_user(app, EMAIL)
    return app


def session_of(browser: Browser) -> dict[str, Any]:
    with browser.client.session_transaction() as session:
        return dict(session)


def test_right_password_signs_the_browser_in(app: Flask) -> None:
    browser = Browser(app)
    with expect_attempt("login", "success"):
        answer = browser.submit("/auth/login", RIGHT)
    assert (answer.status_code, answer.location) == (303, "/auth/account")
    assert browser.is_signed_in()


def test_login_leads_to_where_the_visitor_wanted_to_go(app: Flask) -> None:
    browser = Browser(app)
    wanted = browser.get("/auth/delete?x=1").location
    page = browser.get(wanted)
    assert 'name="next" value="/auth/delete?x=1"' in page.text
    assert browser.submit("/auth/login", {**RIGHT, "next": "/auth/delete?x=1"}).location == "/auth/delete?x=1"


@pytest.mark.parametrize("goal", ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example"])
def test_login_leads_to_no_other_site(app: Flask, goal: str) -> None:
    browser = Browser(app)
    assert "evil" not in browser.get("/auth/login", query_string={"next": goal}).text
    assert browser.submit("/auth/login", {**RIGHT, "next": goal}).location == "/auth/account"
    answer = Browser(app).post_json("/auth/login", {**RIGHT, "next": goal})
    assert answer.json is not None
    assert answer.json["next"] == "/auth/account"


def test_login_form_redirects_signed_in_members(app: Flask) -> None:
    browser = Browser(app, add_user(app, "bob@church.example"))
    assert browser.get("/auth/login").location == "/auth/account"
    assert browser.get("/auth/login?next=/pages/").location == "/pages/"
    assert browser.get("/auth/login?next=//evil.example").location == "/auth/account"


def test_login_as_json_sets_the_cookie(app: Flask) -> None:
    program = Browser(app)
    with expect_attempt("login", "success"):
        answer = program.post_json("/auth/login", RIGHT)
    assert answer.status_code == 200
    assert answer.json is not None
    assert set(answer.json) == {"ref", "next"}
    profile = program.get("/auth/account", headers=JSON).json
    assert profile is not None
    assert (profile["ref"], profile["email"]) == (answer.json["ref"], EMAIL)


def test_login_replaces_the_session_cookie(app: Flask) -> None:
    browser = Browser(app)
    with browser.client.session_transaction() as planted:
        planted["planted"] = "x"
    browser.get("/auth/login")
    before = session_of(browser)
    browser.submit("/auth/login", RIGHT)
    after = session_of(browser)
    assert "planted" not in after
    assert before.get("csrf_token") not in {None, after.get("csrf_token")}
    assert not before.get("_user_id")
    assert after["_permanent"] is True


def test_login_wrong_password_and_unknown_address_get_the_same_answer(app: Flask) -> None:
    def plain(answer: TestResponse) -> str:
        return answer.text.replace("nobody@", "ada@").split('name="csrf_token"')[0]

    found = []
    for form in (WRONG, NOBODY, {**WRONG, "email": "no address"}):
        with expect_attempt("login", "failed_credentials"):
            answer = Browser(app).submit("/auth/login", form)
        assert "Wrong email address or password." in answer.text
        assert form["password"] not in answer.text
        found.append((answer.status_code, plain(answer), sorted(answer.headers.keys())))
    assert found[0] == found[1]
    assert found[0][0] == found[2][0] == 401


def test_login_as_json_wrong_password_is_401(app: Flask) -> None:
    known, unknown = (Browser(app).post_json("/auth/login", form) for form in (WRONG, NOBODY))
    problems = [answer.get_json(force=True) for answer in (known, unknown)]
    assert [problem.pop("request_id") != "" for problem in problems] == [True, True]
    assert problems[0] == problems[1]
    assert (known.status_code, known.content_type) == (401, "application/problem+json")


def test_login_without_password_shows_the_form_again(app: Flask) -> None:
    with expect_attempt("login", "failed_validation"):
        answer = Browser(app).submit("/auth/login", {"email": EMAIL})
    assert answer.status_code == 422
    assert f'value="{EMAIL}"' in answer.text
    assert "Fill this in." in answer.text


def test_login_again_ends_the_first_session(app: Flask) -> None:
    browser, copy = Browser(app), Browser(app)
    browser.submit("/auth/login", RIGHT)
    with copy.client.session_transaction() as session:
        session.update(session_of(browser))
    assert copy.is_signed_in()
    browser.submit("/auth/login", RIGHT)
    assert browser.is_signed_in()
    assert not copy.is_signed_in()


def test_logout_ends_the_session_for_copied_cookies_too(app: Flask) -> None:
    browser, copy = Browser(app), Browser(app)
    browser.submit("/auth/login", RIGHT)
    with copy.client.session_transaction() as session:
        session.update(session_of(browser))
    with expect_attempt("logout", "success"):
        answer = browser.submit("/auth/logout")
    assert answer.location == "/"
    assert not browser.is_signed_in()
    assert not copy.is_signed_in()
    assert list_audit_actions(app)[-1] == "account.signed_out"
    assert "You are signed out." in follow_redirect(browser, answer)


def test_logout_without_a_session_succeeds(app: Flask) -> None:
    with expect_attempt("logout", None):
        assert Browser(app).submit("/auth/logout").status_code == 303
        assert Browser(app).post_json("/auth/logout").status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
@pytest.mark.parametrize("headers", [{}, {"X-HTTP-Method-Override": "POST"}])
def test_logout_needs_post(app: Flask, method: str, headers: dict[str, str]) -> None:
    browser = Browser(app)
    browser.submit("/auth/login", RIGHT)
    answer = browser.client.open("/auth/logout?_method=POST", method=method, headers=headers)
    assert answer.status_code == (200 if method == "OPTIONS" else 405)
    assert browser.is_signed_in()


def test_token_signs_requests_in(app: Flask) -> None:
    browser = Browser(app)
    browser.submit("/auth/login", RIGHT)
    with expect_attempt("token", "success"):
        answer = browser.post_json("/auth/token")
    assert answer.json is not None
    assert set(answer.json) == {"token", "token_type", "expires_in", "expires_at"}
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 600)
    shown = {"Authorization": f"Bearer {answer.json['token']}", **JSON}
    program = Browser(app)
    assert program.get("/auth/account", headers=shown).status_code == 200
    browser.submit("/auth/logout")
    assert program.get("/auth/account", headers=shown).status_code == 401


@pytest.mark.parametrize("by_json", [True, False])
def test_token_is_refused_to_strangers_and_unverified_members(app: Flask, by_json: bool) -> None:
    unverified = add_user(app, "new@church.example", verified=False)
    for browser, status in ((Browser(app), 401 if by_json else 303), (Browser(app, unverified), 403)):
        with expect_attempt("token", "failed_credentials"):
            answer = browser.post_json("/auth/token") if by_json else browser.submit("/auth/token")
        assert answer.status_code == status
        assert "expires_in" not in answer.text


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it to make the database unavailable."""

    def refuse(*_args: Any, **_options: Any) -> NoReturn:
        raise DatabaseDownError

    def stop() -> None:
        monkeypatch.setattr("church.database.Database._read", refuse)
        monkeypatch.setattr("church.database.Database.write", refuse)

    return stop


@pytest.mark.parametrize("form", [RIGHT, WRONG, NOBODY])
def test_login_while_the_database_is_down_is_503(app: Flask, down: Callable[[], None], form: dict[str, str]) -> None:
    down()
    with expect_attempt("login", "failed_error"):
        answer = Browser(app).post_json("/auth/login", form)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


def test_logout_while_the_database_is_down_is_503(app: Flask, down: Callable[[], None]) -> None:
    browser = Browser(app)
    browser.submit("/auth/login", RIGHT)
    with app.app_context():
        sessions.forget_cached()
    down()
    answer = browser.post_json("/auth/logout")
    assert answer.status_code == 503
    assert "_user_id" in session_of(browser)
