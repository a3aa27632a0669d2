"""The keys, the box and the drawer of the admin area."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Windows
from tests.browser.people import Accounts


def test_keys_lead_to_the_box_and_to_sections_and_rest_in_fields(windows: Windows, cast: Accounts) -> None:
    page = windows("/admin/health", storage_state=cast.signed_in("admin"))
    page.keyboard.press("/")
    box = page.get_by_label("Find a request, trace, address, member, page, event or metric")
    expect(box).to_be_focused()
    page.keyboard.type("gj/")
    expect(box).to_have_value("gj/")
    box.fill("jobs")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/admin/jobs$"))
    page.keyboard.type("go")
    expect(page).to_have_url(re.compile("/admin/$"))


def test_keys_are_listed_and_can_be_turned_off(windows: Windows, cast: Accounts) -> None:
    page = windows("/admin/health", storage_state=cast.signed_in("admin"))
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_contain_text("Overview")
    keys.get_by_label("Keys are on").uncheck()
    keys.get_by_role("button", name="Close").click()
    page.keyboard.press("/")
    expect(page.get_by_role("search", name="Admin area").get_by_role("searchbox")).not_to_be_focused()
    page.reload()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_have_count(0)


def test_drawer_opens_on_a_phone_without_scripts(windows: Windows, cast: Accounts) -> None:
    page = windows("/admin/jobs", width=390, storage_state=cast.signed_in("admin"), java_script_enabled=False)
    menu = page.get_by_role("navigation", name="Admin area")
    expect(menu).to_be_hidden()
    page.get_by_role("link", name="Menu of the admin area").click()
    expect(menu).to_be_visible()
    menu.get_by_role("link", name="Close the menu").click()
    expect(menu).to_be_hidden()
    page.get_by_role("link", name="Menu of the admin area").click()
    menu.get_by_role("link", name="Members").click()
    expect(page).to_have_url(re.compile("/admin/members$"))
