"""No page causes errors in the console, and every link works."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Windows
from tests.browser.every_page import refused_attack
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site

_LINKS = "links => links.map(link => link.href)"


def _addresses(windows: Windows) -> list[str]:
    page = windows()
    sitemap = ET.fromstring(page.request.get("/sitemap.xml").text())
    return [str(location.text) for location in sitemap.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")]


def test_every_page_has_no_errors_and_working_links(windows: Windows, demo: Site) -> None:
    """The fixture fails the test if the browser reports errors."""
    addresses = _addresses(windows)
    assert len(addresses) >= 12
    page = windows()
    statuses: dict[str, int] = {}
    for address in [*addresses, f"{demo.url}/pages/?q=backup", f"{demo.url}/pages/?tag=running"]:
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 200, address
        for link in page.locator("a[href]").evaluate_all(_LINKS):
            target, _, fragment = link.partition("#")
            if target.split("?")[0] == page.url.split("#")[0].split("?")[0] and fragment:
                assert page.locator(f'[id="{fragment}"]').count() == 1, link
            elif target.startswith(demo.url) and target not in statuses:
                statuses[target] = page.request.get(target).status
    assert {target: status for target, status in statuses.items() if status != 200} == {}


def test_inline_script_is_blocked_by_the_csp_and_reported(windows: Windows) -> None:
    page = windows("/")
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.broken = 1'}))")
    assert page.evaluate("window.broken") is None
    page.evaluate("document.body.setAttribute('style', 'color: red')")
    page.evaluate("fetch('/nowhere')")
    page.route("**/lost", lambda route: route.abort())
    page.evaluate("fetch('/lost').catch(() => {})")
    page.evaluate("setTimeout(() => { throw new Error('on purpose') })")
    for expected in ("policy: script-src-elem", "policy: style-src-attr", "404: ", "failed: ", "script: on purpose"):
        # Reading the title makes Playwright process pending events.
        wait_until(lambda e=expected: page.title() and e in " ".join(windows.complaints), expected)  # type: ignore[misc]
    windows.forgive()


def test_forbidden_page_links_home(windows: Windows, guarded: Site) -> None:
    page = windows(refused_attack(guarded))
    expect(page.get_by_role("heading", level=1)).to_have_text("Forbidden")
    page.locator(".error-ways").get_by_role("link", name="Home").click()
    expect(page).to_have_url(f"{guarded.url}/")
    expect(page.locator(".card").first).to_be_visible()


def test_error_page_shows_its_id_and_marks_no_menu_item(windows: Windows) -> None:
    page = windows("/pages/nothing-here")
    assert re.fullmatch(r"[\w.-]{8,64}", page.locator(".error-id code").inner_text())
    expect(page.locator("[aria-current]")).to_have_count(0)
    page.get_by_label("Search pages").fill("backup")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("mark").first).to_be_visible()


@pytest.mark.parametrize(
    ("path", "content_type", "expected"),
    [
        ("/feed.xml", "application/atom+xml", "<feed"),
        ("/sitemap.xml", "application/xml", "<urlset"),
        ("/robots.txt", "text/plain", "Sitemap:"),
    ],
)
def test_files_for_machines_open_in_the_browser(windows: Windows, path: str, content_type: str, expected: str) -> None:
    page = windows()
    answer = page.goto(path)
    assert answer is not None
    assert answer.status == 200
    assert answer.headers["content-type"].startswith(content_type)
    assert expected in answer.text()
    windows.forgive()  # Chromium's XML viewer uses inline styles, which our CSP blocks


def test_feed_is_announced_and_linked(windows: Windows) -> None:
    page = windows("/")
    announced = page.locator('link[rel="alternate"][type="application/atom+xml"]').get_attribute("href")
    assert announced == page.get_by_role("link", name="Atom feed").get_attribute("href") == "/feed.xml"
    with page.expect_response("**/feed.xml") as answer:
        page.get_by_role("navigation", name="Small print").get_by_role("link", name="Feed").click()
    assert answer.value.status == 200
