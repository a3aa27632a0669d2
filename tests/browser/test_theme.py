"""Light and dark theme: the system's setting, the reader's choice, and no flash of the other theme."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Windows

PAPER = {"light": "rgb(252, 252, 250)", "dark": "rgb(23, 22, 27)"}
OTHER = {"light": "dark", "dark": "light"}

_NOTE_THEME_AT_FIRST_BODY = """
new MutationObserver((_, watching) => {
  if (!document.body) return;
  window.themeBeforeBody = document.documentElement.dataset.theme ?? "none";
  watching.disconnect();
}).observe(document, { childList: true, subtree: true });
"""
_NO_STORAGE = """
Object.defineProperty(window, "localStorage", { get() { throw new DOMException("refused", "SecurityError"); } });
"""


def _expect_theme(page: Page, theme: str) -> None:
    expect(page.locator("body")).to_have_css("background-color", PAPER[theme])
    dark = "true" if theme == "dark" else "false"
    expect(page.get_by_role("button", name="Dark theme")).to_have_attribute("aria-pressed", dark)


@pytest.mark.parametrize("system", ["light", "dark"])
def test_theme_without_a_choice_follows_the_system(windows: Windows, system: str) -> None:
    page = windows("/", color_scheme=system)
    _expect_theme(page, system)
    page.emulate_media(color_scheme=OTHER[system])  # type: ignore[arg-type]
    _expect_theme(page, OTHER[system])


@pytest.mark.parametrize("system", ["light", "dark"])
def test_toggle_overrides_the_system_on_every_page(windows: Windows, system: str) -> None:
    page = windows("/", color_scheme=system)
    page.get_by_role("button", name="Dark theme").click()
    _expect_theme(page, OTHER[system])
    for path in ("/", "/pages/", "/pages/under-load"):
        page.goto(path)
        _expect_theme(page, OTHER[system])
    page.get_by_role("button", name="Dark theme").click()
    _expect_theme(page, system)


def test_chosen_theme_is_set_before_anything_is_painted(windows: Windows) -> None:
    page = windows("/", color_scheme="light")
    page.get_by_role("button", name="Dark theme").click()
    page.add_init_script(_NOTE_THEME_AT_FIRST_BODY)
    page.reload()
    assert page.evaluate("window.themeBeforeBody") == "dark"


def test_toggle_without_storage_works_for_one_page(windows: Windows) -> None:
    page = windows(color_scheme="light")
    page.add_init_script(_NO_STORAGE)
    page.goto("/")
    page.get_by_role("button", name="Dark theme").click()
    _expect_theme(page, "dark")
    page.reload()
    _expect_theme(page, "light")
