"""What ``flask church run`` prints for the operator: where the site is, and how the first admin gets in.

It goes to the console and not to the log, since the link for the first admin is a secret. SQLite is asked directly
whether there is an admin: most starts have one, and then need to load neither SQLAlchemy nor the site.
"""

from __future__ import annotations

import select
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from church.config import Settings
from church.lib.admin_sql import ACTIVE_ADMIN

if TYPE_CHECKING:
    from flask import Flask

_ADMINS = f"SELECT 1 FROM users WHERE {ACTIVE_ADMIN} LIMIT 1"  # noqa: S608 - a constant
_QUIET_SECONDS = 3.0  # without a log line: the start is over
_LONGEST_WAIT = 30.0  # seconds after the first answer; the log of a busy site is never quiet
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to reach a server that listens everywhere


# -- the lines ------------------------------------------------------------------------------------------------------


def list_notes(settings: Settings) -> list[str]:
    """Where emails and payments go while neither a mail server nor Stripe is configured."""
    notes = [line] if (line := describe_outbox(settings)) else []
    if settings.till:
        notes.append(f"Test till: http://{settings.till_address} (payments go there, no money moves)")
    return notes


def list_addresses(settings: Settings, app: Flask | None = None) -> list[str]:
    """The address of the site and, until it has an admin, a link to become one. Raises what the database raises.

    Each start prints a new link, which replaces the one before. ``app`` saves loading the site, if it exists already.
    """
    site = f"{settings.site_name}: {settings.origin}"
    if _has_admin(settings):
        return [site]
    from church import create_app  # noqa: PLC0415 - see above
    from church.extensions import db  # noqa: PLC0415
    from church.services.accounts import make_first_admin_link  # noqa: PLC0415

    with (app or create_app(settings)).app_context():
        address = make_first_admin_link()
        db.dispose()  # this process lives for long and needs no database
    return [site] if address is None else [site, describe_first_admin_link(address)]


def describe_first_admin_link(address: str) -> str:
    """The line with the link for the first admin."""
    return f"First admin: open {address} (once, within 24 hours)"


def describe_outbox(settings: Settings) -> str:
    """Where emails go while no mail server is configured; empty if one is."""
    if settings.smtp_url is not None:
        return ""
    return f"Emails are saved in {settings.instance / 'outbox'}: no mail server is configured (CHURCH_SMTP_URL)."


def _has_admin(settings: Settings) -> bool:
    """Whether SQLite has an admin; False also if it cannot be asked this way."""
    if settings.database_url is not None:
        return False
    with suppress(sqlite3.Error):
        address = (settings.instance / "church.db").as_uri() + "?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=1)) as connection:
            return connection.execute(_ADMINS).fetchone() is not None
    return False


# -- printed again at the end of the start --------------------------------------------------------------------------


class EndOfStart:
    """Prints ``lines`` once the site answers at ``bind`` and its log has been quiet for some seconds.

    A start writes a screenful of log lines after the addresses were printed. ``step`` never waits: the supervisor
    calls it every ``INTERVAL`` seconds while it minds its children.
    """

    INTERVAL = 0.25

    def __init__(self, lines: Sequence[str], bind: str, log: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._lines = lines
        self._log = log
        self._clock = clock
        self._request = _HealthRequest(bind)
        self._answered_at: float | None = None
        self._written_at = 0.0
        self._size = 0

    def step(self) -> bool:
        """Check once, and print if the start is over; returns whether it is."""
        now = self._clock()
        if self._answered_at is None:
            if self._request.is_answered():
                self._answered_at = self._written_at = now
            return False
        size = self._log.stat().st_size if self._log.exists() else 0
        if size != self._size:
            self._size, self._written_at = size, now
        if now - self._written_at < _QUIET_SECONDS and now - self._answered_at < _LONGEST_WAIT:
            return False
        _print_unless_blocked("\n" + "\n".join(self._lines))
        return True


def _print_unless_blocked(text: str) -> None:
    """Print to a console that takes it now: one that is not read must not stop the supervisor."""
    with suppress(OSError):
        if select.select([], [sys.stdout], [], 0)[1]:
            click.echo(text)


class _HealthRequest:
    """One request for /health, sent as soon as something listens and answered as soon as a worker is up."""

    def __init__(self, bind: str) -> None:
        host, _, port = bind.rpartition(":")
        host = host.strip("[]")
        self._address = (_ANY_ADDRESS.get(host, host), int(port))
        self._host = bind
        self._socket: socket.socket | None = None

    def is_answered(self) -> bool:
        """Look for the answer without waiting for it; a connection that was refused or closed is tried again."""
        try:
            if self._socket is None:
                self._socket = self._send()
            answered = bool(self._socket.recv(4096))
        except BlockingIOError:
            return False
        except OSError:
            answered = False
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        return answered

    def _send(self) -> socket.socket:
        connection = socket.create_connection(self._address, timeout=1)
        connection.sendall(f"GET /health HTTP/1.1\r\nHost: {self._host}\r\nConnection: close\r\n\r\n".encode())
        connection.setblocking(False)
        return connection
