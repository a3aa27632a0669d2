"""Reading a page: copy buttons, printing, and teasers that do not reveal the rest."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Windows
from tests.support.site_fixture import ROOT

A4 = 794  # width of A4 paper in CSS pixels
_LEFT_EDGES = "cells => cells.map(cell => Math.round(cell.getBoundingClientRect().left))"


def _code(page: Page) -> str:
    return str(page.locator(".codehilite pre").first.evaluate("pre => pre.textContent"))


def test_copy_button_copies_the_code_and_says_so(windows: Windows) -> None:
    page = windows(permissions=["clipboard-read", "clipboard-write"])
    page.clock.install(time=0)
    page.goto("/pages/writing-a-page")
    page.clock.pause_at(3600)  # the label of the button stays until the clock continues
    block = page.locator(".codehilite").first
    block.hover()
    block.get_by_role("button", name="Copy the code").click()
    expect(block.locator(".copy")).to_have_text("Copied")
    expect(page.get_by_role("status")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == _code(page)
    assert copied.startswith("---\ntitle: Writing a page\n")
    page.clock.run_for(2500)
    expect(block.locator(".copy")).to_have_text("Copy")
    expect(page.get_by_role("status")).to_be_empty()


def test_copy_button_clipboard_refused_shows_not_copied(windows: Windows) -> None:
    page = windows()
    page.add_init_script("navigator.clipboard.writeText = () => Promise.reject(new Error('refused'))")
    page.clock.install(time=0)
    page.goto("/pages/writing-a-page")
    page.clock.pause_at(3600)
    button = page.locator(".copy").first
    button.focus()
    expect(button).to_have_css("opacity", "1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Not copied")


def test_print_shows_the_text_without_navigation(windows: Windows) -> None:
    page = windows("/pages/writing-a-page", width=A4, color_scheme="dark")
    page.get_by_role("button", name="Dark theme").click()
    page.get_by_role("button", name="Dark theme").click()  # dark by choice, too
    page.emulate_media(media="print")
    for selector in (".site-nav", ".site-header .search", ".theme-toggle", ".skip", ".toc", ".turn", ".copy", ".tags"):
        for part in page.locator(selector).all():
            expect(part).to_be_hidden()
        assert page.locator(selector).count() > 0, selector
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator("body")).to_have_css("color", "rgb(0, 0, 0)")
    expect(page.locator("body")).to_have_css("background-color", "rgba(0, 0, 0, 0)")
    address = page.locator('.prose a[href^="http"]').first.evaluate("a => getComputedStyle(a, '::after').content")
    assert "https://" in address


def test_print_keeps_table_columns_and_fits_the_paper(windows: Windows) -> None:
    page = windows("/pages/writing-a-page", width=A4)
    page.emulate_media(media="print")
    table = page.locator(".prose table").first
    heads = table.locator("thead th").evaluate_all(_LEFT_EDGES)
    assert table.locator("tbody tr").first.locator("td").evaluate_all(_LEFT_EDGES) == heads
    page.goto("/pages/extremes")
    assert page.evaluate("document.documentElement.scrollWidth") <= A4


def _sentences(slug: str) -> tuple[list[str], list[str]]:
    """Return the plain lines of a demo page before and after its first heading."""
    source = (ROOT / "content" / f"{slug}.md").read_text()
    opening, _, rest = source.split("---\n", 2)[2].partition("\n## ")
    plain = re.compile(r"[A-Za-z][\w ,.]{39,}")
    return plain.findall(opening), plain.findall(rest)


def _content(page: Page) -> str:
    """Return the HTML that was sent and the text that is shown."""
    return " ".join((page.content() + page.locator("body").inner_text()).split())


_CLOSED = {
    "under-load": "Premium",
    "going-to-production": "Premium",
    "reading-the-metrics": "Members",
    "logs-an-admin-can-trust": "Members",
}


@pytest.mark.parametrize("slug", _CLOSED)
def test_teaser_shows_the_beginning_and_never_sends_the_rest(windows: Windows, slug: str) -> None:
    opening, rest = _sentences(slug)
    page = windows(f"/pages/{slug}")
    content = _content(page)
    assert opening
    assert all(line.strip() in content for line in opening)
    assert len(rest) > 10
    assert [line for line in rest if line.strip() in content] == []
    expect(page.locator(".article-head .badge")).to_have_text(_CLOSED[slug])
    expect(page.get_by_role("heading", name=re.compile("^The rest is for"))).to_be_visible()
    assert page.locator(".inside li").count() >= 3
    assert page.locator(".turn, .toc").count() == 0


def test_public_page_shows_all_of_it(windows: Windows) -> None:
    """Proves that the search for lines of a page finds them where they are shown."""
    opening, rest = _sentences("first-run")
    content = _content(windows("/pages/first-run"))
    assert len(rest) > 10
    assert [line for line in opening + rest if line.strip() not in content] == []
