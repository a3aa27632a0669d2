"""Cache sessions in each process for a moment, including tokens that belong to no session.

A counter in a file of the instance folder (``ChangeMark``) tells the other processes of the host to drop their cache
when a session ends. Other hosts notice within 1.5 s, when their entries expire.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from church.lib.app_context import app_state
from church.lib.files import ChangeMark
from church.lib.per_process import PerProcess

if TYPE_CHECKING:
    from church.services.sessions.lookup import SignedIn

EXTENSION = "sessions"
FRESH_SECONDS = 1.5
MAX_ENTRIES = 4096


class Reading(NamedTuple):
    """When a database read began. Its result is as old as that, however long the read takes."""

    generation: int
    at: float  # monotonic
    read_at: float  # since 1970


class _Entry(NamedTuple):
    signed_in: SignedIn | None
    reading: Reading


class SessionCache:
    """Sessions by name (token hash or ref), for 1.5 s; the oldest are dropped beyond 4096.

    Every operation is one step under the GIL and never waits, so greenlets need no lock.
    """

    def __init__(self, mark: ChangeMark, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._mark = mark
        self._seen = b""
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._generation = 0  # grows when a session ends: results of reads that began before are not cached

    def get(self, name: str, since: float = 0.0) -> tuple[bool, SignedIn | None]:
        """Return whether ``name`` is cached, and its session.

        ``since`` (seconds since 1970) ignores what was read before.
        """
        mark = self._mark.read()
        if self._seen != mark:
            self._seen = mark
            self.clear()
        entry = self._entries.get(name)
        if entry is None or self._clock() - entry.reading.at > FRESH_SECONDS or entry.reading.read_at < since:
            return False, None
        return True, entry.signed_in

    def reading(self) -> Reading:
        """Note that a database read begins now; pass the result on to ``put``."""
        return Reading(self._generation, self._clock(), time.time())

    def put(self, name: str, found: SignedIn | None, reading: Reading) -> None:
        """Cache what was read, unless a session has ended since the read began."""
        if reading.generation == self._generation:
            self._store(name, found, reading)

    def end(self, names: Iterable[str]) -> None:
        """Mark these sessions as ended in this process, before the transaction that deletes them commits."""
        self._generation += 1
        for name in names:
            self._store(name, None, self.reading())

    def tell(self) -> None:
        """Make every process of this host drop its cache; call it after the commit."""
        self._mark.change()

    def clear(self) -> None:
        """Drop all entries."""
        self._generation += 1
        self._entries.clear()

    def _store(self, name: str, signed_in: SignedIn | None, reading: Reading) -> None:
        self._entries[name] = _Entry(signed_in, reading)
        self._entries.move_to_end(name)
        while len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)


def current_cache() -> SessionCache:
    """Return this process's cache of the current app."""
    cache: PerProcess[SessionCache] = app_state()[EXTENSION]
    return cache()


def forget_cached() -> None:
    """Make every process of this host read sessions from the database again; call it after the commit."""
    cache = current_cache()
    cache.clear()
    cache.tell()
