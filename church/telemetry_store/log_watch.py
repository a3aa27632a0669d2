"""Wait until something is written to the log folder, or a signal comes. An idle site wakes nothing."""

from __future__ import annotations

import logging
import select
import socket
from contextlib import suppress
from pathlib import Path

from church.lib.host.inotify import Inotify
from church.lib.processes import wait_for_signals

log = logging.getLogger("church.observe")

GATHER = 0.25
"""Seconds from the first write until the files are read: many writes cost one reading."""
_POLL = 2.0  # seconds between two looks where the system tells nothing


class LogWatch:
    """Waits for writes in ``folder``, which may not be there yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._inotify: Inotify | None = None
        self._is_watched = False
        with suppress(OSError):
            self._inotify = Inotify()
        self._watch()

    def wait(self, inbox: socket.socket, seconds: float | None) -> bytes:
        """Wait for a write, a signal, or ``seconds`` at most; return the numbers of the signals."""
        if not self._is_watched:
            self._watch()
        if self._inotify is None or not self._is_watched:
            return wait_for_signals(inbox, _POLL if seconds is None else min(seconds, _POLL))
        waited: list[socket.socket | Inotify] = [inbox, self._inotify]
        ready, _, _ = select.select(waited, (), (), seconds)
        signals = wait_for_signals(inbox, GATHER if self._inotify in ready and inbox not in ready else 0)
        if self._inotify in ready and any(event.is_gone for event in self._inotify.wait(0)):
            self._is_watched = False
        return signals

    def close(self) -> None:
        """Stop watching."""
        if self._inotify is not None:
            self._inotify.close()

    def _watch(self) -> None:
        if self._inotify is not None:
            with suppress(OSError):
                self._inotify.watch(str(self._folder), writes=True)
                self._is_watched = True
