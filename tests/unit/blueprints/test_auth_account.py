"""The account pages: name, password, address, devices, export, deletion."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

import pytest
from flask import Flask

from church import create_app
from church.config import Settings
from church.models import User
from church.models.accounts import Role
from church.observability.metrics import definitions
from church.services.sessions import Device
from tests.support.browsing import JSON, Browser, expect_attempt, follow_redirect, list_audit_actions, load_account
from tests.support.databases import bring_to_head
from tests.support.helpers import grows, with_settings
from tests.support.people import PASSWORD, add_user, sign_in, with_cookie

NEW = "nine foxes in the orchard"


@pytest.fixture
def ada(app: Flask) -> User:
    return add_user(app)


@pytest.fixture
def browser(app: Flask, ada: User) -> Browser:
    return Browser(app, ada)


def refs(browser: Browser) -> dict[str, bool]:
    """The refs of the devices, and whether each is the current one."""
    data = browser.get("/auth/sessions", headers=JSON).json
    assert data is not None
    return {device["ref"]: device["current"] for device in data["sessions"]}


def test_account_page_shows_the_account_and_its_devices(app: Flask, ada: User, browser: Browser) -> None:
    sign_in(app, ada, Device("203.0.113.5", "Mozilla/5.0 (iPhone) <b>Safari/605.1</b>"))
    page = browser.get("/auth/account")
    for text in (ada.email, "Firefox on Linux", "Safari on iPhone", "203.0.113.5", "This device"):
        assert text is not None
        assert text in page.text
    assert "confirm your address" not in page.text
    assert page.headers["Cache-Control"] == "private, no-store"


def test_account_page_unverified_member_is_asked_to_confirm(app: Flask) -> None:
    page = Browser(app, add_user(app, verified=False)).get("/auth/account")
    assert "Confirm your email address" in page.text
    assert 'action="/auth/verify/resend"' in page.text


def test_account_as_json(ada: User, browser: Browser) -> None:
    data = browser.get("/auth/account", headers=JSON).json
    assert data is not None
    assert (data["ref"], data["email"], data["role"], data["verified"]) == (ada.ref, ada.email, "member", True)
    assert datetime.fromisoformat(data["created_at"]) == ada.created_at
    assert not {"id", "user_id", "password_hash", "email_key"} & set(data)


def test_name_is_changed_and_shown_at_once(app: Flask, ada: User, browser: Browser) -> None:
    answer = browser.submit("/auth/account", {"name": "  Ada   Lovelace ", "role": "admin", "email": "x@y.example"})
    assert answer.location == "/auth/account"
    page = follow_redirect(browser, answer)
    assert 'value="Ada Lovelace"' in page
    assert "Name changed." in page
    found = load_account(app, ada.ref)
    assert (found.name, found.role, found.email) == ("Ada Lovelace", "member", ada.email)


@pytest.mark.parametrize("name", ['"><svg onload=x>', "{{1337*7331}}", "</script><script>"])
def test_name_is_escaped_everywhere(browser: Browser, name: str) -> None:
    browser.submit("/auth/account", {"name": name})
    page = browser.get("/auth/account").text
    assert name not in page or name == "{{1337*7331}}"
    assert "9801547" not in browser.get("/auth/delete").text.split("<main", 1)[1]
    data = browser.get("/auth/account", headers=JSON).json
    assert data is not None
    assert data["name"] == name


@pytest.mark.parametrize(("name", "message"), [("", "Fill this in."), ("n" * 81, "at most 80 characters")])
def test_name_invalid_shows_the_form_again(browser: Browser, name: str, message: str) -> None:
    answer = browser.submit("/auth/account", {"name": name})
    assert answer.status_code == 422
    assert message in answer.text
    assert 'id="profile-name-error"' in answer.text


def test_change_password_signs_out_other_devices(app: Flask, ada: User, browser: Browser) -> None:
    other = Browser(app, ada)
    with browser.client.session_transaction() as session:
        before = dict(session)
    answer = browser.submit("/auth/account/password", {"current": PASSWORD, "password": NEW})
    assert "Password changed" in follow_redirect(browser, answer)
    assert browser.is_signed_in()
    assert not other.is_signed_in()
    with app.app_context():
        copy = with_cookie(app.test_client(), before["_user_id"])
    assert copy.get("/auth/account", headers=JSON).status_code == 401
    assert Browser(app).post_json("/auth/login", {"email": ada.email, "password": NEW}).status_code == 200


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"current": "not this one", "password": NEW}, "current"),
        ({"password": NEW}, "current"),
        ({"current": PASSWORD, "password": "short"}, "password"),
        ({"current": PASSWORD, "password": PASSWORD}, "password"),
        ({"current": PASSWORD}, "password"),
    ],
)
def test_change_password_refused_shows_the_form_without_the_password(
    app: Flask, ada: User, browser: Browser, form: dict[str, str], field: str
) -> None:
    answer = browser.submit("/auth/account/password", form)
    assert answer.status_code == 422
    assert f'id="password-{field}-error"' in answer.text
    assert all(f'"{typed}"' not in answer.text for typed in form.values())
    problem = browser.post_json("/auth/account/password", form)
    assert (problem.status_code, set(problem.get_json(force=True)["errors"])) == (422, {field})
    assert load_account(app, ada.ref).password_hash == ada.password_hash


def test_password_guesses_from_a_session_are_limited_for_that_session_only(
    settings: Settings,
) -> None:
    bring_to_head(settings)
    app = create_app(with_settings(settings, limit_login_account="3/hour"))
    user = add_user(app)
    thief, owner = Browser(app, user), Browser(app, user, address="198.51.100.7")
    wrong = [
        ("/auth/account/password", {"current": "not this one", "password": NEW}),
        ("/auth/account/email", {"current": "not this one", "email": "new@church.example"}),
        ("/auth/delete", {"password": "not this one"}),
    ]
    assert thief.post_json(wrong[0][0], {"current": PASSWORD, "password": "short"}).status_code == 422  # no guess
    assert [thief.post_json(path, form).status_code for path, form in wrong] == [422] * 3
    with (
        grows(definitions.rate_limit_hits.labels("login_account"), by=3),
        grows(definitions.security_events.labels("login_throttled", "medium"), by=3),
        expect_attempt("login", None),
    ):
        for path, form in wrong:
            answer = thief.post_json(path, {**form, **{n: PASSWORD for n in ("current",) if n in form}})
            assert answer.status_code == 429
            assert int(answer.headers["Retry-After"]) > 0
    changed = owner.post_json("/auth/account/password", {"current": PASSWORD, "password": NEW})
    assert changed.status_code == 200
    assert not thief.is_signed_in()
    assert Browser(app).post_json("/auth/login", {"email": user.email, "password": NEW}).status_code == 200


def test_change_password_works_while_strangers_guess(settings: Settings) -> None:
    bring_to_head(settings)
    app = create_app(with_settings(settings, limit_login_account="3/hour"))
    user = add_user(app)
    owner, stranger = Browser(app, user), Browser(app)
    for _ in range(5):
        stranger.post_json("/auth/login", {"email": user.email, "password": "not this one"})
    changed = owner.post_json("/auth/account/password", {"current": PASSWORD, "password": NEW})
    assert changed.status_code == 200


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"current": "not this one", "email": "new@church.example"}, "current"),
        ({"email": "new@church.example"}, "current"),
        ({"current": PASSWORD, "email": "new"}, "email"),
        ({"current": PASSWORD}, "email"),
    ],
)
def test_change_email_invalid_address_shows_the_form_again(browser: Browser, form: dict[str, str], field: str) -> None:
    answer = browser.submit("/auth/account/email", form)
    assert answer.status_code == 422
    assert f'id="email-{field}-error"' in answer.text
    assert f'value="{form.get("email", "")}"' in answer.text


def test_end_device_by_its_owner(app: Flask, ada: User, browser: Browser) -> None:
    other = Browser(app, ada)
    ref = next(ref for ref, current in refs(browser).items() if not current)
    answer = browser.submit(f"/auth/sessions/{ref}/end")
    assert "That device is signed out." in follow_redirect(browser, answer)
    assert not other.is_signed_in()
    assert browser.is_signed_in()
    assert browser.submit(f"/auth/sessions/{ref}/end").status_code == 404


def test_end_device_of_another_member_is_not_found(app: Flask, browser: Browser) -> None:
    other = Browser(app, add_user(app, "bob@church.example"))
    ref = next(iter(refs(other)))
    assert browser.submit(f"/auth/sessions/{ref}/end").status_code == 404
    assert browser.post_json(f"/auth/sessions/{ref}/end").status_code == 404
    assert other.is_signed_in()


def test_end_device_own_device_leads_to_login(browser: Browser) -> None:
    answer = browser.submit(f"/auth/sessions/{next(iter(refs(browser)))}/end")
    assert answer.location == "/auth/login"
    assert not browser.is_signed_in()


@pytest.mark.parametrize(("form", "stays"), [({}, True), ({"all": "0"}, True), ({"all": "1"}, False)])
def test_all_devices_are_ended_with_or_without_this_one(
    app: Flask, ada: User, browser: Browser, form: dict[str, str], stays: bool
) -> None:
    others = [Browser(app, ada) for _ in range(2)]
    assert browser.submit("/auth/sessions/end", form).location == ("/auth/account" if stays else "/auth/login")
    assert browser.is_signed_in() is stays
    assert [other.is_signed_in() for other in others] == [False, False]


def test_sessions_page_redirects_browsers_to_the_account(browser: Browser) -> None:
    assert browser.get("/auth/sessions").location == "/auth/account#devices"


def test_export_is_a_complete_file_and_is_not_cached(app: Flask, ada: User, browser: Browser) -> None:
    answer = browser.get("/auth/export")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="account-{ada.ref}.json"'
    assert answer.mimetype == "application/json"
    assert answer.headers["Cache-Control"] == "private, no-store"
    found = json.loads(answer.data)
    assert found["account"]["email"] == ada.email
    assert len(found["devices"]) == 1
    assert list_audit_actions(app) == ["account.exported"]


def test_export_head_request_exports_nothing(app: Flask, browser: Browser) -> None:
    assert browser.client.head("/auth/export").status_code == 200
    assert list_audit_actions(app) == []


def test_delete_account_with_the_password(app: Flask, ada: User, browser: Browser) -> None:
    other = Browser(app, ada)
    page = browser.get("/auth/delete").text
    assert 'action="/auth/delete"' in page
    assert f'value="{ada.email}" autocomplete="username"' in page
    assert "cancelled at once" in page
    for form in ({}, {"password": "not this one"}):
        answer = browser.submit("/auth/delete", form)
        assert answer.status_code == 422
        assert 'id="password-error"' in answer.text
    answer = browser.submit("/auth/delete", {"password": PASSWORD})
    assert answer.location == "/"
    assert "Your account is deleted." in follow_redirect(browser, answer)
    assert not browser.is_signed_in()
    assert not other.is_signed_in()
    assert load_account(app, ada.ref).email is None


def test_delete_last_admin_shows_why_it_is_refused(app: Flask) -> None:
    root = add_user(app, "root@church.example", role=Role.ADMIN.value)
    browser = Browser(app, root)
    answer = browser.submit("/auth/delete", {"password": PASSWORD})
    assert answer.status_code == 409
    assert 'action="/auth/delete"' in answer.text
    assert "admin" in answer.text.split("form-errors", 1)[1]
    assert browser.post_json("/auth/delete", {"password": PASSWORD}).status_code == 409
    assert load_account(app, root.ref).email == root.email


CHANGES: list[tuple[str, dict[str, str]]] = [
    ("/auth/account", {"name": "Eve"}),
    ("/auth/account/password", {"current": PASSWORD, "password": NEW}),
    ("/auth/account/email", {"current": PASSWORD, "email": "new@church.example"}),
    ("/auth/sessions/end", {"all": "1"}),
    ("/auth/verify/resend", {}),
    ("/auth/delete", {"password": PASSWORD}),
    ("/auth/logout", {}),
    ("/auth/token", {}),
]


@pytest.mark.parametrize(("path", "form"), CHANGES)
def test_change_from_another_site_is_refused(
    app: Flask, ada: User, browser: Browser, path: str, form: dict[str, str]
) -> None:
    foreign = {"Origin": "https://evil.example"}
    tries: list[Callable[[], int]] = [
        lambda: browser.client.post(path, data=form).status_code,
        lambda: browser.client.post(path, data={**form, "csrf_token": "x"}).status_code,
        lambda: browser.submit(path, form, headers=foreign).status_code,
        lambda: browser.post_json(path, form, headers=foreign).status_code,
        lambda: browser.client.post(path, data=json.dumps(form), content_type="text/plain").status_code,
    ]
    assert [attempt() for attempt in tries] == [400, 400, 400, 400, 415]
    for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"):
        browser.client.open(path, method=method, data=form, headers={"X-HTTP-Method-Override": "POST"})
    assert browser.is_signed_in()
    found = load_account(app, ada.ref)
    assert (found.name, found.email, found.password_hash) == (ada.name, ada.email, ada.password_hash)
    assert list_audit_actions(app) == []


@pytest.mark.parametrize(("path", "form"), CHANGES[:-2])
def test_change_by_a_stranger_leads_to_login(app: Flask, path: str, form: dict[str, str]) -> None:
    with expect_attempt("login", None):
        assert Browser(app).submit(path, form).location == "/auth/login"
        assert Browser(app).post_json(path, form).status_code == 401
