"""The site without JavaScript: everything works except the theme toggle and the copy buttons."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Windows


def test_search_leads_to_a_page_without_scripts(windows: Windows) -> None:
    page = windows("/", java_script_enabled=False)
    page.get_by_label("Search the site").fill("front matter")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("mark").first).to_be_visible()
    page.get_by_role("link", name="Writing a page").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Writing a page")
    page.get_by_role("navigation", name="On this page").get_by_role("link", name="Tables").click()
    expect(page).to_have_url(re.compile("#tables$"))
    expect(page.locator("#tables")).to_be_in_viewport()


@pytest.mark.parametrize("path", ["/", "/pages/writing-a-page", "/pages/under-load"])
def test_page_without_scripts_has_the_same_text_except_buttons(windows: Windows, path: str) -> None:
    plain, scripted = windows(path, java_script_enabled=False), windows(path)
    expect(scripted.get_by_role("button", name="Dark theme")).to_be_visible()
    expect(plain.get_by_role("button", name="Dark theme")).to_be_hidden()
    expect(plain.locator(".copy")).to_have_count(0)
    scripted.locator(".copy, .theme-toggle").evaluate_all("buttons => buttons.forEach(button => button.remove())")
    texts = [window.locator("body").inner_text().split() for window in (plain, scripted)]
    assert texts[0] == texts[1]
    assert len(texts[0]) > 100


@pytest.mark.parametrize(("scheme", "paper"), [("light", "rgb(252, 252, 250)"), ("dark", "rgb(23, 22, 27)")])
def test_theme_follows_the_system_without_scripts(windows: Windows, scheme: str, paper: str) -> None:
    page = windows("/", java_script_enabled=False, color_scheme=scheme)
    expect(page.locator("body")).to_have_css("background-color", paper)
