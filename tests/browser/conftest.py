"""Fixtures of the browser tests: one Chromium, two sites, and windows that fail a test on console errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from church import create_app
from church.server import prepare
from tests.browser.every_page import GUARDED, write_content
from tests.browser.films import add_videos
from tests.browser.people import Accounts, Mailbox
from tests.browser.watch import BrowserErrors
from tests.conftest import SETTINGS_OF_THE_SHELL
from tests.support.programs import needing, program
from tests.support.site_fixture import Site

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_UNLIMITED = ("SEARCH", "LOGIN", "REGISTER", "RESET", "ACCOUNT")


@pytest.fixture(scope="package")
@needing("chromium-headless-shell")
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium, as headless shell if possible, because that needs half the CPU.

    Playwright's own Chromium is never downloaded. It ends with this folder, because Playwright's event loop does not
    work beside another one.
    """
    with sync_playwright() as playwright:
        expect.set_options(timeout=60_000)  # for busy machines; a fulfilled expectation does not wait
        browser = playwright.chromium.launch(executable_path=program("chromium-headless-shell"), args=_ARGUMENTS)
        yield browser
        browser.close()


def make_site(folder: Path, **extra: str) -> Site:
    """Create a site without the shell's settings, which the per-test fixtures remove too late for it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(SETTINGS_OF_THE_SHELL)]:
            patch.delenv(name)
        return Site(folder, CHURCH_CONTENT=str(write_content(folder / "content")), **extra)


@pytest.fixture(scope="package")
def demo(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site with the demo content, indexed. Depends on the browser, so that without one it is not started."""
    limits = {f"CHURCH_LIMIT_{name}": "1000000/minute" for name in _UNLIMITED}
    site = make_site(tmp_path_factory.mktemp("demo"), **limits)
    try:
        site.start(work=True)
        prepare.index_pages(create_app(site.settings))
        add_videos(site)
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="package")
def guarded(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with strict limits, for the error pages."""
    site = make_site(tmp_path_factory.mktemp("guarded"), **GUARDED)
    try:
        yield site.start()
    finally:
        site.stop()


@pytest.fixture(scope="package")
def cast(chromium: Browser, demo: Site) -> Accounts:
    """Accounts of each role on the demo site."""
    return Accounts(chromium, demo)


@pytest.fixture
def mailbox(demo: Site) -> Mailbox:
    """The emails that the demo site has sent."""
    return Mailbox(demo)


class Windows:
    """Opens windows on a site, each with its own profile, and collects their errors."""

    def __init__(self, chromium: Browser, site: Site) -> None:
        self._chromium = chromium
        self.site = site
        self.opened: list[tuple[BrowserContext, BrowserErrors]] = []

    def __call__(self, path: str | None = None, width: int = 1280, **options: Any) -> Page:
        """Open a page at ``path``; ``options`` are those of a Playwright context. Animations are off by default."""
        window = {"viewport": {"width": width, "height": 844}, "reduced_motion": "reduce", "base_url": self.site.url}
        context = self._chromium.new_context(**{**window, **options})
        context.set_default_timeout(60_000)
        self.opened.append((context, BrowserErrors(context)))
        page = context.new_page()
        if path is not None:
            page.goto(path)
        return page

    @property
    def complaints(self) -> list[str]:
        """Errors of all windows so far."""
        return [complaint for _, watch in self.opened for complaint in watch.complaints]

    def close(self) -> None:
        """Close all windows, which also ends their pending requests."""
        for context, _ in self.opened:
            context.close()

    def forgive(self) -> None:
        """Close all windows and discard their errors, because the test expects them."""
        self.close()
        for _, watch in self.opened:
            watch.complaints.clear()


@pytest.fixture
def windows(chromium: Browser, demo: Site) -> Iterator[Windows]:
    """Windows on the demo site; an error in the console, a CSP violation or a failed request fails the test."""
    opened = Windows(chromium, demo)
    yield opened
    opened.close()
    assert opened.complaints == []
