"""Navigation through the site, with the mouse and with the keyboard alone."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Windows
from tests.support.services_fixture import wait_until

DARK = "rgb(23, 22, 27)"


def _wait_until_at_top(page: Page, heading: str) -> None:
    """Wait until the heading is in the upper quarter of the window."""
    distance = f"document.getElementById('{heading}').getBoundingClientRect().top / innerHeight"
    wait_until(lambda: 0 <= page.evaluate(distance) < 0.25, f"{heading} is at the top")


def test_mouse_leads_from_home_to_a_page_and_its_neighbours(windows: Windows) -> None:
    page = windows("/", reduced_motion="no-preference")
    page.get_by_role("link", name="All pages").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Pages")
    expect(page.get_by_role("navigation", name="Site").get_by_role("link", name="Pages")).to_have_attribute(
        "aria-current", "page"
    )

    page.get_by_label("Search pages").fill("front matter")
    page.get_by_role("button", name="Search").click()
    expect(page).to_have_url(re.compile(r"/pages/\?q=front\+matter$"))
    expect(page.locator(".card").first.locator("mark").first).to_have_text(re.compile("front|matter", re.IGNORECASE))
    expect(page.get_by_label("Search pages")).to_have_value("front matter")

    page.get_by_role("link", name="Writing a page").click()
    expect(page).to_have_url(re.compile("/pages/writing-a-page$"))
    contents = page.get_by_role("navigation", name="On this page")
    contents.get_by_role("link", name="Tables").click()
    expect(page).to_have_url(re.compile("#tables$"))
    _wait_until_at_top(page, "tables")
    expect(contents.locator("[aria-current]")).to_have_text("Tables")

    page.get_by_role("button", name="Dark theme").click()
    expect(page.locator("body")).to_have_css("background-color", DARK)
    page.reload()
    expect(page.locator("body")).to_have_css("background-color", DARK)

    _visit_next_page_and_return(page)
    expect(page.locator("body")).to_have_css("background-color", DARK)


def _visit_next_page_and_return(page: Page) -> None:
    title = page.get_by_role("heading", level=1).inner_text()
    neighbours = page.get_by_role("navigation", name="Previous and next page")
    next_title = neighbours.get_by_role("link", name="Next").inner_text().removeprefix("Next").strip()
    neighbours.get_by_role("link", name="Next").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(next_title)
    neighbours.get_by_role("link", name="Previous").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)


_FOCUSED = """() => {
  const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
  const name = e.labels?.[0]?.innerText || e.innerText || e.getAttribute("aria-label") || "";
  const ring = style.outlineStyle === "solid" && parseFloat(style.outlineWidth) >= 2;
  const seen = box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight && box.left >= 0;
  return { tag: e.localName, name: name.trim(), shown: ring && seen };
}"""


def _tab(page: Page) -> str:
    """Press Tab and return the name of the focused element, which must be visible with a focus ring."""
    page.keyboard.press("Tab")
    focused = page.evaluate(_FOCUSED)
    assert focused["tag"] == "body" or focused["shown"], focused
    return "" if focused["tag"] == "body" else str(focused["name"])


def _tab_to(page: Page, name: str) -> None:
    passed: list[str] = []
    while name not in (focused := _tab(page)):
        passed.append(focused)
        assert len(passed) < 60, passed


def _skip_to_content(page: Page) -> None:
    """Use the skip link: the first stop of every page, visible once it has the focus."""
    page.wait_for_load_state()  # the URL changes before the page is loaded
    assert _tab(page) == "Skip to content"
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_keyboard_alone_leads_from_home_to_dark_theme(windows: Windows) -> None:
    page = windows("/")
    _skip_to_content(page)
    assert _tab(page) == "All pages"
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/pages/$"))

    _skip_to_content(page)
    assert _tab(page) == "Search pages"
    page.keyboard.type("front matter")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Search")

    _skip_to_content(page)
    _tab_to(page, "Writing a page")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/pages/writing-a-page$"))
    page.wait_for_load_state()

    _tab_to(page, "Dark theme")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Dark theme", pressed=True)).to_be_focused()
    expect(page.locator("body")).to_have_css("background-color", DARK)

    _tab_to(page, "Tables")
    page.keyboard.press("Enter")
    _wait_until_at_top(page, "tables")
    _tab_to(page, "Next")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Who can read what")


def test_every_keyboard_stop_has_a_visible_focus(windows: Windows) -> None:
    for path, width in (("/", 1280), ("/pages/?q=backup", 390), ("/pages/writing-a-page", 390)):
        page = windows(path, width=width)
        stops = 0
        while _tab(page):
            stops += 1
        assert stops >= 15, path


def test_logo_links_home_and_footer_links_legal_pages(windows: Windows) -> None:
    page = windows("/pages/under-load")
    for name, heading in (("Terms", "Terms of use"), ("Privacy", "Privacy")):
        page.get_by_role("navigation", name="Small print").get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    page.get_by_role("link", name="BambiSleep Church").click()
    expect(page).to_have_url(re.compile(":[0-9]+/$"))


def test_tag_filters_the_list_and_its_removal_shows_all(windows: Windows) -> None:
    page = windows("/pages/")
    whole = page.locator(".card").count()
    page.get_by_role("navigation", name="Topics").get_by_role("link", name=re.compile("^watching")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Pages about watching")
    page.wait_for_load_state()  # the heading is rendered before the cards
    assert 0 < page.locator(".card").count() < whole
    page.get_by_role("link", name="Show all pages").click()
    expect(page.locator(".card")).to_have_count(whole)
