"""The list of signed-in devices, and signing them out."""

from __future__ import annotations

import pytest
from flask import Flask

from church.models import User
from tests.support.browsing import JSON, Browser, follow_redirect
from tests.support.people import add_user


def refs(browser: Browser) -> dict[str, bool]:
    """The refs of the devices, and whether each is the current one."""
    data = browser.get("/auth/sessions", headers=JSON).json
    assert data is not None
    return {device["ref"]: device["current"] for device in data["sessions"]}


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
