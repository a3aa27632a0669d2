"""What one process remembers of sign-ins for a moment, found and not found alike.

It is forgotten as soon as any process of the host says that a sign-in has ended (``church.lib.files``); what
another host ends is found out by time.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from church.lib.files import HostMark
from church.services.sessions.lookup import SignedIn

FRESH_SECONDS = 1.5
MOST_ENTRIES = 4096


class Reading(NamedTuple):
    """A look into the database that is about to begin; what it finds is as old as that, however long it takes."""

    generation: int
    at: float  # monotonic
    read_at: float  # since 1970


class _Entry(NamedTuple):
    found: SignedIn | None
    reading: Reading


class SessionCache:
    """Sign-ins by name, for 1.5 s; the oldest are dropped beyond 4096.

    Every operation is one step under the GIL and never waits, so that no lock is needed between greenlets.
    """

    def __init__(self, mark: HostMark, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._mark = mark
        self._seen = b""
        self._pid = os.getpid()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._generation = 0  # grows when anything ends: what was read before that is not kept

    def get(self, name: str, since: float = 0.0) -> tuple[bool, SignedIn | None]:
        """Whether ``name`` is known, from a read after ``since`` (seconds since 1970), and what it is."""
        mark = self._mark.read()
        if self._pid != os.getpid() or self._seen != mark:
            self._pid, self._seen = os.getpid(), mark
            self.clear()
        entry = self._entries.get(name)
        if entry is None or self._clock() - entry.reading.at > FRESH_SECONDS or entry.reading.read_at < since:
            return False, None
        return True, entry.found

    def reading(self) -> Reading:
        """To be asked for before the database is, and handed to ``put`` with what that says."""
        return Reading(self._generation, self._clock(), time.time())

    def put(self, name: str, found: SignedIn | None, reading: Reading) -> None:
        """Keep what was read; nothing if something has ended since the reading began."""
        if reading.generation == self._generation:
            self._keep(name, found, reading)

    def end(self, names: Iterable[str]) -> None:
        """Take these for ended, though the transaction that ends them may not be over."""
        self._generation += 1
        for name in names:
            self._keep(name, None, self.reading())

    def tell(self) -> None:
        """Have every process of this host forget what it remembers: what has ended is in the database by now."""
        self._mark.change()

    def clear(self) -> None:
        """Forget everything."""
        self._generation += 1
        self._entries.clear()

    def _keep(self, name: str, found: SignedIn | None, reading: Reading) -> None:
        self._entries[name] = _Entry(found, reading)
        self._entries.move_to_end(name)
        while len(self._entries) > MOST_ENTRIES:
            self._entries.popitem(last=False)
