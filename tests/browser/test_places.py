"""Every kind of page, errors among them: quiet, no wider than its window, and WCAG 2.2 AA by axe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Windows
from tests.browser.films import ref_of
from tests.browser.people import Cast
from tests.browser.places import ERRORS, LINKS, OWN_PAGES, PAGES, SPENT_LINKS
from tests.browser.watch import LOOKS, inaccessible
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site


@pytest.fixture(scope="module", params=[*PAGES, *OWN_PAGES, *LINKS, *SPENT_LINKS, *map(str, ERRORS)])
def place(request: pytest.FixtureRequest, chromium: Browser, demo: Site, cast: Cast) -> Iterator[tuple[Page, Windows]]:
    """Each place of the site in turn, gone to once for all the tests that look at it."""
    windows = Windows(chromium, demo)
    if request.param.isdigit():
        page = windows()
        ERRORS[int(request.param)](page, request.getfixturevalue("guarded"))
        assert page.locator(".error-status").inner_text() == request.param
    else:
        page = _gone_to(request.param, windows, cast)
    yield page, windows
    windows.close()


def _gone_to(name: str, windows: Windows, cast: Cast) -> Page:
    """A window on the place, as whoever may see it."""
    signed_in: dict[str, Any] = {}
    if name in OWN_PAGES:
        role, path = OWN_PAGES[name]
        people = {role: cast.user(role).ref for role in ("member", "admin")}
        path = path.format(**people, trade=cast.trade, film=ref_of(windows.site, "film"))
        signed_in = {"storage_state": cast.signed_in(role)}
    elif name in LINKS:
        path = cast.link(LINKS[name], "unverified" if name == "confirm an address" else "member")
    else:
        path = {**PAGES, **SPENT_LINKS}[name]
    page = windows(**signed_in)
    answer = page.goto(path)
    assert answer is not None
    assert answer.status == (400 if name in SPENT_LINKS else 200)
    return page


def test_place_makes_the_browser_complain_of_nothing(place: tuple[Page, Windows]) -> None:
    page, windows = place
    expect(page.get_by_role("button", name="Dark theme")).to_be_visible()  # the last script has run
    assert windows.complaints == []


def test_place_is_no_wider_than_its_window(place: tuple[Page, Windows]) -> None:
    page, _ = place
    for width in (1280, 390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width


def test_place_gives_axe_nothing_to_find(place: tuple[Page, Windows]) -> None:
    page, _ = place
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert inaccessible(page) == [], (width, scheme)


def test_copy_button_that_shows_gives_axe_nothing_to_find(windows: Windows) -> None:
    page = windows("/pages/first-run")
    page.locator(".codehilite").first.hover()
    expect(page.locator(".copy").first).to_have_css("opacity", "1")
    assert inaccessible(page) == []


def test_wide_code_and_tables_scroll_in_their_own_box_by_the_keyboard(windows: Windows) -> None:
    page = windows("/pages/extremes", width=390)
    for kind in ("pre", "table"):
        box = page.locator(f".prose {kind}").first
        expect(box).to_have_attribute("tabindex", "0")
        box.focus()
        page.keyboard.press("ArrowRight")
        wait_until(lambda box=box: box.evaluate("box => box.scrollLeft") > 0, f"{kind} scrolls")  # type: ignore[misc]
