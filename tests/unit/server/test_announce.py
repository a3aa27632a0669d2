"""What `flask church run` prints: where emails go, the address of the site, and the link for the first admin."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import update

from church import create_app
from church.config import Settings
from church.extensions import db
from church.models import User
from church.models.accounts import Purpose, Role
from church.server import end_of_start
from church.server.announce import list_addresses, list_notes
from church.server.end_of_start import EndOfStart
from church.services import accounts, email_links
from church.services.accounts import find_account
from church.services.accounts.validation import Address
from tests.support.databases import bring_to_head
from tests.support.helpers import with_settings
from tests.support.services_fixture import wait_until

CLOSED_AT = datetime(2026, 5, 3, 12, tzinfo=UTC)


def first_admin_lines(settings: Settings) -> list[str]:
    """The lines after the address of the site, which is always there."""
    site, *others = list_addresses(settings)
    assert site == f"{settings.site_name}: http://127.0.0.1:8000"
    return others


def token_in(line: str) -> str:
    address = line.split()[3]
    assert address.startswith("http://127.0.0.1:8000/auth/first-admin/")
    return address.rpartition("/")[2]


def add_admin(settings: Settings, **changes: object) -> None:
    address = Address("eve@example.org", "eve@example.org")
    with create_app(settings).app_context():
        with db.write() as session:
            find_account.create_account(session, address, name="Eve", source="cli", role=Role.ADMIN)
            session.execute(update(User).values(**changes or {"name": "Eve"}))
        db.dispose()


def test_addresses_without_an_admin_have_a_new_link_that_replaces_the_last(migrated_site: Settings) -> None:
    (first,) = first_admin_lines(migrated_site)
    (second,) = first_admin_lines(migrated_site)
    assert second.endswith(" (once, within 24 hours)")
    with create_app(migrated_site).app_context():
        assert email_links.peek(token_in(first), Purpose.FIRST_ADMIN) is None
        assert email_links.peek(token_in(second), Purpose.FIRST_ADMIN) is not None
        db.dispose()


def test_addresses_with_an_admin_have_no_link(migrated_site: Settings) -> None:
    add_admin(migrated_site)
    assert first_admin_lines(migrated_site) == []


def test_notes_name_the_outbox_and_the_test_till_while_neither_email_nor_stripe_is_configured(
    settings: Settings,
) -> None:
    outbox = f"Emails are saved in {settings.instance / 'outbox'}: no mail server is configured (CHURCH_SMTP_URL)."
    till = "Test till: http://127.0.0.1:8001 (payments go there, no money moves)"
    assert list_notes(settings) == [outbox, till]
    with_mail = with_settings(settings, smtp_url=SecretStr("smtp://localhost"))
    assert list_notes(with_mail) == [till]
    assert list_notes(with_settings(with_mail, stripe_secret_key=SecretStr("sk_test_1"))) == []


@pytest.mark.parametrize("changes", [{"role": "member"}, {"disabled_at": CLOSED_AT}])
def test_addresses_with_an_admin_who_cannot_sign_in_have_a_link(
    migrated_site: Settings, changes: dict[str, object]
) -> None:
    add_admin(migrated_site, **changes)
    assert len(first_admin_lines(migrated_site)) == 1


@pytest.mark.parametrize(
    ("changes", "there"),
    [
        ({"verified_at": None}, True),
        ({"role": "member"}, False),
        ({"disabled_at": CLOSED_AT}, False),
        ({"deleted_at": CLOSED_AT, "email": None, "email_key": None}, False),
    ],
)
def test_addresses_and_site_agree_on_whether_there_is_an_admin(
    migrated_site: Settings, changes: dict[str, object], there: bool
) -> None:
    add_admin(migrated_site, **changes)
    with create_app(migrated_site).app_context():
        assert (accounts.make_first_admin_link() is None) is there
        db.dispose()
    assert bool(first_admin_lines(migrated_site)) is not there


def test_addresses_with_an_admin_load_neither_sqlalchemy_nor_the_site(settings: Settings) -> None:
    bring_to_head(settings)
    add_admin(settings)
    code = (
        "import sys; from church.config import load_settings; from church.server.announce import list_addresses;"
        "print(*list_addresses(load_settings())); sys.exit('sqlalchemy' in sys.modules or 'flask' in sys.modules)"
    )
    environment = {"CHURCH_INSTANCE": str(settings.instance), "CHURCH_LOG_DIR": str(settings.log_dir)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False, capture_output=True, text=True)
    assert (done.returncode, "First admin" in done.stdout) == (0, False), done.stderr


# -- printed again --------------------------------------------------------------------------------------------------

LINES = ["Church: http://127.0.0.1:8000", "First admin: open http://127.0.0.1:8000/auth/first-admin/1.x"]
PRINTED = "\n" + "\n".join(LINES) + "\n"


class Site:
    """A port, a log and a clock in place of a site that starts."""

    def __init__(self, folder: Path) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.log = folder / "combined.log"
        self.now = 100.0
        bind = f"127.0.0.1:{self.server.getsockname()[1]}"
        self.end_of_start = EndOfStart(LINES, bind, self.log, lambda: self.now)

    def answer(self) -> None:
        """What a worker does once it is up; then wait until the answer was noticed."""
        client, _ = self.server.accept()
        assert client.recv(4096).startswith(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:")
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        wait_until(lambda: self.end_of_start.step() or self.end_of_start._answered_at is not None, "it is noticed")
        client.close()

    def write(self, line: str) -> None:
        with self.log.open("a") as log:
            log.write(line)

    def step_after(self, seconds: float) -> bool:
        self.now += seconds
        return self.end_of_start.step()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    starting = Site(tmp_path)
    yield starting
    starting.server.close()
    if (unanswered := starting.end_of_start._request._socket) is not None:
        unanswered.close()


def test_end_of_start_without_an_answer_does_not_come(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    assert [site.step_after(60) for _ in range(3)] == [False, False, False]
    assert capfd.readouterr().out == ""


def test_end_of_start_with_a_quiet_log_prints_the_lines_once(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    assert not site.end_of_start.step()
    site.answer()
    assert not site.step_after(2.9)
    assert site.step_after(0.2)
    assert capfd.readouterr().out == PRINTED


def test_end_of_start_waits_until_no_more_lines_are_logged(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    assert not site.end_of_start.step()
    site.answer()
    for number in range(5):
        site.write(f"line {number}\n")
        assert not site.step_after(2.9)
    assert capfd.readouterr().out == ""
    assert site.step_after(3.1)
    assert capfd.readouterr().out == PRINTED


def test_end_of_start_of_a_busy_site_comes_all_the_same(site: Site) -> None:
    assert not site.end_of_start.step()
    site.answer()
    steps = 0
    while not site.step_after(1):
        site.write("another request\n")
        steps += 1
    assert 25 < steps < 35


def test_end_of_start_refused_connection_is_tried_again(site: Site) -> None:
    address = site.server.getsockname()
    site.server.close()
    assert not site.end_of_start.step()
    site.server = socket.create_server(address)
    assert not site.end_of_start.step()
    site.answer()
    assert site.step_after(3.1)


def test_end_of_start_connection_that_ends_unanswered_is_tried_again(site: Site) -> None:
    assert not site.end_of_start.step()
    site.server.accept()[0].close()
    wait_until(lambda: not site.end_of_start.step() and site.end_of_start._request._socket is None, "it ended")
    assert not site.end_of_start.step()
    site.answer()
    assert site.step_after(3.1)


def test_end_of_start_with_a_console_that_is_not_read_does_not_wait(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(4096))
    os.set_blocking(writing, True)
    with os.fdopen(reading), os.fdopen(writing, "w") as blocked:
        monkeypatch.setattr(end_of_start.sys, "stdout", blocked)
        assert not site.end_of_start.step()
        site.answer()
        assert site.step_after(3.1)
