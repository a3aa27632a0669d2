"""Export of the member's data, and deletion of the account."""

from __future__ import annotations

import json

from flask import Flask

from church.extensions import db
from church.models import User
from church.models.accounts import Role
from tests.support.browsing import Browser, follow_redirect, list_audit_actions, load_account
from tests.support.people import PASSWORD, add_user


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
    with app.app_context(), db.read() as session:
        left = session.get(User, ada.id)
    assert left is not None
    assert (left.email, left.name) == (None, "")


def test_delete_last_admin_shows_why_it_is_refused(app: Flask) -> None:
    root = add_user(app, "root@church.example", role=Role.ADMIN.value)
    browser = Browser(app, root)
    answer = browser.submit("/auth/delete", {"password": PASSWORD})
    assert answer.status_code == 409
    assert 'action="/auth/delete"' in answer.text
    assert "admin" in answer.text.split("form-errors", 1)[1]
    assert browser.post_json("/auth/delete", {"password": PASSWORD}).status_code == 409
    assert load_account(app, root.ref).email == root.email
