"""Take the screenshots of the README: ``make screenshots``.

Starts the site in an empty temporary instance on free ports, creates the first admin with the link that the site
prints, and writes docs/img/*.png. Your own instance is neither read nor changed.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "img"
FLASK = Path(sys.executable).with_name("flask")
MOST_BYTES = 200_000
DEADLINE = 120.0
CHROMIUM = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MEMBERS = ("Grace Hopper", "Ada Lovelace", "Alan Turing", "Katherine Johnson")


@dataclass(frozen=True)
class Shot:
    """A screenshot: its file, the page, the size of the window, and whether the admin is signed in."""

    name: str
    path: str
    width: int
    height: int
    admin: bool = False
    scale: float = 1.0


SHOTS = (
    Shot("home.png", "/", 1280, 800),
    Shot("admin.png", "/admin/", 1280, 900, admin=True),
    Shot("phone.png", "/pages/access-levels", 390, 844, scale=1.5),
)


@dataclass(frozen=True)
class Site:
    """A running site with its own environment."""

    url: str
    environment: dict[str, str]
    output: Path

    def command(self, *arguments: str) -> None:
        """Run ``flask church …`` for this site. Raises CalledProcessError if it fails."""
        subprocess.run([FLASK, "church", *arguments], check=True, cwd=ROOT, env=self.environment, capture_output=True)

    def first_admin_link(self) -> str | None:
        """Find the link for the first admin in the output; None until the site has printed it."""
        match = re.search(r"http\S+/auth/first-admin/\S+", self.output.read_text())
        return match[0] if match else None

    def is_ready(self) -> bool:
        """Whether the site answers requests."""
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/ready", timeout=5):
            return True
        return False


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """Run the site in an instance below ``folder`` until the block ends."""
    port, till_port = free_ports()
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
        "CHURCH_ENV_FILE": "",
        "CHURCH_INSTANCE": str(folder / "instance"),
        "CHURCH_LOG_DIR": str(folder / "logs"),
        "CHURCH_BIND": f"127.0.0.1:{port}",
        "CHURCH_TILL_BIND": f"127.0.0.1:{till_port}",
    }
    site = Site(f"http://127.0.0.1:{port}", environment, folder / "output")
    with site.output.open("wb") as output:
        process = subprocess.Popen(
            [FLASK, "church", "run"], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: site.is_ready() or process.poll() is not None)
        if process.poll() is not None:
            raise SystemExit(f"The site did not start:\n{site.output.read_text()}")
        yield site
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def free_ports() -> tuple[int, int]:
    """Find two free ports."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for ``condition``. Raises TimeoutError after DEADLINE seconds."""
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {DEADLINE:.0f} seconds: {condition}")
        time.sleep(0.2)


def become_admin(page: Page, site: Site) -> None:
    """Create the first admin with the printed link, which signs in. Fields are found by name, not by their label."""
    wait_until(site.first_admin_link)
    password = secrets.token_urlsafe(24)
    page.goto(str(site.first_admin_link()))
    page.locator("main [name=name]").fill("Margaret Hamilton")
    page.locator("main [name=email]").fill("margaret@example.org")
    page.locator("main [name=password]").fill(password)
    with page.expect_navigation():
        page.locator("main [name=password]").press("Enter")


def take(browser: Browser, site: Site) -> Iterator[Path]:
    """Take all screenshots and yield their paths."""
    window = browser.new_context()
    become_admin(window.new_page(), site)
    cookies = window.storage_state()
    for name in MEMBERS:
        site.command("user", "create", f"{name.split()[0].lower()}@example.org", "--name", name)
    for shot in SHOTS:
        context = browser.new_context(
            viewport={"width": shot.width, "height": shot.height},
            device_scale_factor=shot.scale,
            color_scheme="light",
            reduced_motion="reduce",
            storage_state=cookies if shot.admin else None,
        )
        page = context.new_page()
        answer = page.goto(f"{site.url}{shot.path}", wait_until="networkidle")
        if answer is None or not answer.ok:
            raise SystemExit(f"{shot.path} answered {answer.status if answer else 'nothing'}")
        page.screenshot(path=IMAGES / shot.name)
        context.close()
        yield IMAGES / shot.name


def main() -> None:
    """Start the site and Chromium and take the screenshots. Fails if one is too large for a README."""
    program = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if program is None:
        raise SystemExit("Chromium is not installed: apt-get install chromium-headless-shell")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="church-") as folder,
        running_site(Path(folder)) as site,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        pictures = list(take(browser, site))
        browser.close()
    for picture in pictures:
        print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size:,} bytes")
    if large := [picture.name for picture in pictures if picture.stat().st_size > MOST_BYTES]:
        raise SystemExit(f"more than {MOST_BYTES:,} bytes: {', '.join(large)}")


if __name__ == "__main__":
    main()
