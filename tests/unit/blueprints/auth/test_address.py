"""Change of the email address, confirmed by an emailed link."""

from __future__ import annotations

import pytest
from flask import Flask

from church.models import User
from tests.support.browsing import (
    JSON,
    Browser,
    list_emails,
    load_account,
    newest_link_token,
)
from tests.support.people import PASSWORD


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


def test_new_address_is_confirmed_in_another_browser(app: Flask, ada: User) -> None:
    browser, other = Browser(app, ada), Browser(app)
    answer = browser.submit("/auth/account/email", {"current": PASSWORD, "email": "new@church.example"})
    assert answer.location == "/auth/sent/email"
    assert list_emails(app) == [("change_email", "new@church.example"), ("email_changing", ada.email)]
    path = f"/auth/email/{newest_link_token(app, 'change_email')}"
    assert f'action="{path}"' in other.get(path).text
    assert other.get(path, headers=JSON).json == {"state": "ask"}
    assert load_account(app, ada.ref).email == ada.email
    assert other.submit(path).location == "/auth/account"
    assert load_account(app, ada.ref).email == "new@church.example"
    for bad in (other.submit(path), other.get(path), other.get(path, headers=JSON)):
        assert bad.status_code == 400
