"""Print the addresses of the site once more when its start is over, below the log lines of the start.

The supervisor does it, which loads neither the settings nor the site.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

_QUIET_SECONDS = 3.0  # without a log line: the start is over
_LONGEST_WAIT = 30.0  # seconds after the first answer; the log of a busy site is never quiet
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to reach a server that listens everywhere


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
            print(text, flush=True)


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
