"""The account page, and changes of name and password."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from flask import Flask

from church.models import User
from church.services.sessions import Device
from church.web import kept_pages
from tests.support.browsing import JSON, Browser, follow_redirect, load_account
from tests.support.people import PASSWORD, add_user, sign_in, with_cookie

NEW = "nine foxes in the orchard"


def test_account_page_shows_the_account_and_its_devices(app: Flask, ada: User, browser: Browser) -> None:
    sign_in(app, ada, Device("203.0.113.5", "Mozilla/5.0 (iPhone) <b>Safari/605.1</b>"))
    page = browser.get("/auth/account")
    for text in (ada.email, "Firefox on Linux", "Safari on iPhone", "203.0.113.5", "This device"):
        assert text is not None
        assert text in page.text
    assert "confirm your address" not in page.text
    assert page.headers["Cache-Control"] == "private, no-store"


def test_account_page_links_to_each_of_its_sections(browser: Browser) -> None:
    page = browser.get("/auth/account").text
    ways = re.findall(r'<li><a href="#(\w+)">([^<]+)</a></li>', page)
    assert [title for _, title in ways] == [
        "Subscription", "Name", "Email address", "Password", "Devices", "Your data", "Delete account",
    ]  # fmt: skip
    assert [id for id, _ in ways] == re.findall(r'<h2 id="(\w+)">', page)
    assert 'class="button button-danger-quiet" href="/auth/delete"' in page
    assert 'class="button button-danger"' in browser.get("/auth/delete").text


def test_account_page_unverified_member_is_asked_to_confirm(app: Flask) -> None:
    page = Browser(app, add_user(app, verified=False)).get("/auth/account")
    assert "Confirm your email address" in page.text
    assert "registered on" in page.text
    assert "a member since" not in page.text
    assert 'action="/auth/verify/resend"' in page.text


def test_account_page_is_rendered_once_and_shows_each_member_their_own(app: Flask, ada: User, browser: Browser) -> None:
    own = browser.get("/auth/account").text
    kept = len(app.extensions["kept_pages"])
    bob = add_user(app, "bob@church.example", name="Bob & Co")
    page = Browser(app, bob).get("/auth/account").text
    assert len(app.extensions["kept_pages"]) == kept
    for text, other in ((own, "bob@church.example"), (page, ada.email), (page, "Ada"), (own, "Bob")):
        assert other is not None
        assert other not in text
    assert page.count("bob@church.example") == 3
    assert page.count("Bob &amp; Co") == 2
    assert re.findall(r'csrf_token" value="([^"]+)', own)[0] not in page


def test_account_page_from_memory_is_the_page_rendered_anew(
    app: Flask, ada: User, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(app, ada, Device("203.0.113.5", "Mozilla/5.0 (iPhone) <b>Safari/605.1</b>"))
    browser.get("/auth/account")
    kept = browser.get("/auth/account").text
    monkeypatch.setattr(kept_pages, "_has_messages", lambda: True)
    assert browser.get("/auth/account").text == kept
    assert kept.count('class="device-name"') == 2


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


def test_account_page_shows_each_members_own_name_and_email_in_its_forms(app: Flask) -> None:
    for name, shown in (("Ada", "Ada"), ("Bob <i>", "Bob &lt;i&gt;")):
        user = add_user(app, f"{name[:3].lower()}@church.example", name=name, password_hash="x")
        text = Browser(app, user).get("/auth/account").text
        assert re.findall(r'name="name" [^>]*value="([^"]*)"', text) == [shown]
        assert re.findall(r'value="([^"]*)" autocomplete="username"', text) == [user.email] * 2
        assert set(re.findall(r"\w+@church\.example", text)) == {user.email}
