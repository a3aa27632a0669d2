"""Every kind of page, also error pages: no browser errors, no wider than the window, WCAG 2.2 AA by axe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Windows
from tests.browser.every_page import ERRORS, LINKS, OWN_PAGES, PAGES, SPENT_LINKS, STATUSES
from tests.browser.films import video_ref
from tests.browser.people import Accounts
from tests.browser.watch import LOOKS, find_axe_violations
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site

_TWO_FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture(scope="module", params=[*PAGES, *OWN_PAGES, *LINKS, *SPENT_LINKS, *map(str, ERRORS)])
def opened(
    request: pytest.FixtureRequest, chromium: Browser, demo: Site, cast: Accounts
) -> Iterator[tuple[Page, Windows]]:
    """Each page of the site in turn, opened once for all tests of it."""
    windows = Windows(chromium, demo)
    if request.param.isdigit():
        page = windows()
        ERRORS[int(request.param)](page, request.getfixturevalue("guarded"))
        assert page.locator(".error-status").inner_text() == request.param
    else:
        page = _open(request.param, windows, cast)
    yield page, windows
    windows.close()


def _open(name: str, windows: Windows, cast: Accounts) -> Page:
    """Open a page in a window, signed in with the role it needs."""
    signed_in: dict[str, Any] = {}
    if name in OWN_PAGES:
        role, path = OWN_PAGES[name]
        people = {role: cast.user(role).ref for role in ("member", "admin")}
        path = path.format(**people, billing=cast.billing, film=video_ref(windows.site, "film"))
        signed_in = {"storage_state": cast.signed_in(role)}
    elif name in LINKS:
        path = cast.link(LINKS[name], "unverified" if name == "confirm an address" else "member")
    else:
        path = {**PAGES, **SPENT_LINKS}[name]
    page = windows(**signed_in)
    answer = page.goto(path)
    assert answer is not None
    assert answer.status == (400 if name in SPENT_LINKS else STATUSES.get(name, 200))
    return page


def test_page_causes_no_browser_errors(opened: tuple[Page, Windows]) -> None:
    page, windows = opened
    expect(page.get_by_role("button", name="Dark theme")).to_be_visible()  # the last script has run
    assert windows.complaints == []


def test_page_is_no_wider_than_its_window(opened: tuple[Page, Windows]) -> None:
    page, _ = opened
    for width in (1280, 900, 390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
        rows = 1 if width >= 900 else 2
        height = page.evaluate("document.querySelector('.site-header').offsetHeight")
        assert height <= 24 + 48 * rows, f"the header wraps at {width}"


def test_page_has_no_accessibility_violations(opened: tuple[Page, Windows]) -> None:
    page, _ = opened
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.evaluate(_TWO_FRAMES)  # scripts adapt to the new width in the first
        assert find_axe_violations(page) == [], (width, scheme)


def test_visible_copy_button_has_no_accessibility_violations(windows: Windows) -> None:
    page = windows("/pages/first-run")
    page.locator(".codehilite").first.hover()
    expect(page.locator(".copy").first).to_have_css("opacity", "1")
    assert find_axe_violations(page) == []


def test_wide_code_and_tables_scroll_with_the_keyboard(windows: Windows) -> None:
    page = windows("/pages/extremes", width=390)
    for kind in ("pre", "table"):
        box = page.locator(f".prose {kind}").first
        expect(box).to_have_attribute("tabindex", "0")
        box.focus()
        page.keyboard.press("ArrowRight")
        wait_until(lambda box=box: box.evaluate("box => box.scrollLeft") > 0, f"{kind} scrolls")  # type: ignore[misc]
