"""What one process remembers of sign-ins for a moment, found and not found alike.

It is forgotten as soon as any process of the host says that a sign-in has ended (``church.host_mark``); what another
host ends is found out by time.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from church.host_mark import HostMark
from church.services.session_lookup import SignedIn

FRESH_SECONDS = 1.5
MOST_ENTRIES = 4096


class _Entry(NamedTuple):
    found: SignedIn | None
    at: float  # monotonic
    read_at: float  # since 1970


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
        self.generation = 0
        """Grows when anything ends: what was read before that is not kept."""

    def get(self, name: str, since: float = 0.0) -> tuple[bool, SignedIn | None]:
        """Whether ``name`` is known, from a read after ``since`` (seconds since 1970), and what it is."""
        mark = self._mark.read()
        if self._pid != os.getpid() or self._seen != mark:
            self._pid, self._seen = os.getpid(), mark
            self.clear()
        entry = self._entries.get(name)
        if entry is None or self._clock() - entry.at > FRESH_SECONDS or entry.read_at < since:
            return False, None
        return True, entry.found

    def put(self, name: str, found: SignedIn | None, generation: int) -> None:
        """Keep what was read when ``generation`` was the current one; nothing if something has ended since."""
        if generation == self.generation:
            self._keep(name, found)

    def end(self, names: Iterable[str]) -> None:
        """Take these for ended, though the transaction that ends them may not be over."""
        self.generation += 1
        for name in names:
            self._keep(name, None)

    def tell(self) -> None:
        """Have every process of this host forget what it remembers: what has ended is in the database by now."""
        self._mark.change()

    def clear(self) -> None:
        """Forget everything."""
        self.generation += 1
        self._entries.clear()

    def _keep(self, name: str, found: SignedIn | None) -> None:
        self._entries[name] = _Entry(found, self._clock(), time.time())
        self._entries.move_to_end(name)
        while len(self._entries) > MOST_ENTRIES:
            self._entries.popitem(last=False)
