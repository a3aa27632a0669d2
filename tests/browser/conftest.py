"""One Chromium and two sites for the whole folder, and windows that may not complain."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from church import create_app
from church.server import prepare
from tests.browser.films import show_films
from tests.browser.people import Cast, Mailbox
from tests.browser.places import GUARDED, write_content
from tests.browser.watch import Watch
from tests.conftest import SETTINGS_OF_THE_SHELL
from tests.support.services_fixture import require
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
_OUT_OF_THE_WAY = ("SEARCH", "LOGIN", "REGISTER", "RESET", "ACCOUNT")


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, best without its windows: that takes half the time of a core. Playwright's own is never
    downloaded. Ends with this folder: its event loop bears no other."""
    found = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    program = require("Chromium", found, "apt-get install chromium-headless-shell")
    with sync_playwright() as playwright:
        expect.set_options(timeout=60_000)  # as long as a busy machine may need; what is there already costs none of it
        browser = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        yield browser
        browser.close()


def made_site(folder: Path, **extra: str) -> Site:
    """A site, made before any test cleans the environment of the shell's settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(SETTINGS_OF_THE_SHELL)]:
            patch.delenv(name)
        return Site(folder, CHURCH_CONTENT=str(write_content(folder / "content")), **extra)


@pytest.fixture(scope="package")
def demo(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site as it comes, its pages indexed. Needs the browser first: without one there is nothing to start for."""
    limits = {f"CHURCH_LIMIT_{name}": "1000000/minute" for name in _OUT_OF_THE_WAY}
    site = made_site(tmp_path_factory.mktemp("demo"), **limits)
    try:
        site.start(work=True)
        prepare.index_pages(create_app(site.settings))
        show_films(site)
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="package")
def guarded(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that refuses all it can, for the pages that say so."""
    site = made_site(tmp_path_factory.mktemp("guarded"), **GUARDED)
    try:
        yield site.start()
    finally:
        site.stop()


@pytest.fixture(scope="package")
def cast(chromium: Browser, demo: Site) -> Cast:
    """Somebody of each role, signed in on the demo site."""
    return Cast(chromium, demo)


@pytest.fixture
def mailbox(demo: Site) -> Mailbox:
    """Every mail that the demo site has sent."""
    return Mailbox(demo)


class Windows:
    """Opens windows on the demo site, each with a profile of its own, and keeps what they complain of."""

    def __init__(self, chromium: Browser, site: Site) -> None:
        self._chromium = chromium
        self.site = site
        self.opened: list[tuple[BrowserContext, Watch]] = []

    def __call__(self, path: str | None = None, width: int = 1280, **options: Any) -> Page:
        """A page at ``path``; ``options`` are those of a Playwright context. Nothing moves unless a test wants it."""
        window = {"viewport": {"width": width, "height": 844}, "reduced_motion": "reduce", "base_url": self.site.url}
        context = self._chromium.new_context(**{**window, **options})
        context.set_default_timeout(60_000)
        self.opened.append((context, Watch(context)))
        page = context.new_page()
        if path is not None:
            page.goto(path)
        return page

    @property
    def complaints(self) -> list[str]:
        """Of all windows so far."""
        return [complaint for _, watch in self.opened for complaint in watch.complaints]

    def close(self) -> None:
        """Close them all, which ends what their pages still ask for."""
        for context, _ in self.opened:
            context.close()

    def forgive(self) -> None:
        """What was complained of is what the test wanted; no more can come, for the windows are closed first."""
        self.close()
        for _, watch in self.opened:
            watch.complaints.clear()


@pytest.fixture
def windows(chromium: Browser, demo: Site) -> Iterator[Windows]:
    """Windows for this test; an error in the console, a refusal by the policy or a failed request fails it."""
    made = Windows(chromium, demo)
    yield made
    made.close()
    assert made.complaints == []
