"""The first admin, made with the link that the console prints."""

from __future__ import annotations

import pytest
from flask import Flask

from church.services import accounts
from tests.support.browsing import (
    JSON,
    Browser,
    expect_attempt,
    follow_redirect,
    load_account,
)

NEW = "nine foxes in the orchard"
ADMIN = {"email": "root@church.example", "name": "Root", "password": NEW}


@pytest.fixture
def first_admin(app: Flask) -> str:
    """The path of the link that the console prints."""
    with app.app_context():
        address = accounts.make_first_admin_link()
    assert address is not None
    return "/auth/first-admin/" + address.rpartition("/")[2]


def test_first_admin_link_works_once(app: Flask, first_admin: str) -> None:
    browser = Browser(app)
    assert f'action="{first_admin}"' in browser.get(first_admin).text
    assert browser.get(first_admin, headers=JSON).json == {"state": "ask"}
    with expect_attempt("registration", "success"):
        answer = browser.submit(first_admin, ADMIN)
    assert answer.location == "/admin/"
    area = follow_redirect(browser, answer)
    assert "Admin account created. You are signed in." in area
    assert "What to do next" in area
    made = browser.post_json("/auth/login", ADMIN).json
    assert made is not None
    user = load_account(app, made["ref"])
    assert (user.role, user.source, user.verified_at is not None) == ("admin", "first_admin", True)
    with expect_attempt("registration", "failed_credentials"):
        assert Browser(app).submit(first_admin, {**ADMIN, "email": "other@church.example"}).status_code == 400
    assert Browser(app).get(first_admin).status_code == 400


def test_first_admin_invalid_form_is_shown_again(app: Flask, first_admin: str) -> None:
    browser = Browser(app)
    with expect_attempt("registration", "failed_validation"):
        answer = browser.submit(first_admin, {**ADMIN, "password": "short"})
    assert answer.status_code == 422
    assert f'action="{first_admin}"' in answer.text
    assert 'value="root@church.example"' in answer.text
    assert browser.submit(first_admin, ADMIN).status_code == 303
