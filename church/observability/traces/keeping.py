"""Decide at the end of a request, job or live message whether its trace is kept, and why.

Kept are all that failed, that were asked for, and that were slow: over a second, or over the 99th percentile of the
last hour of their own route; besides these now and then a typical one of each route, at random.
"""

from __future__ import annotations

import random
from array import array
from math import log2
from typing import Final, Literal

Verdict = Literal["failed", "asked", "slow", "typical"]

SLOW: Final = 1.0
"""Seconds beyond which each is slow."""
QUIET: Final = frozenset({"/metrics", "/health", "/ready"})
"""Routes that machines ask for all the time: kept if they failed."""
_WINDOW = 1800.0  # seconds; the last one and the present one are looked at
_PERCENTILE = 0.99
_LEAST = 100  # requests of a route, before its percentile says something
_EACH = 256  # requests, after which it is found anew
_FIRST_PAUSE = 30.0  # mean seconds from a route's first request to its first typical one
_PAUSE = 300.0  # and from there to the next
_BUCKETS = 8 * 14  # eight an octave, from 61 microseconds to a second
_LOWEST = 2.0**14


class Traffic:
    """How long the requests of one route took, in one process."""

    __slots__ = ("_before", "_counts", "_ends", "_is_quiet", "_limit", "_next_typical", "_until_next")

    def __init__(self, route: str = "") -> None:
        self._is_quiet = route in QUIET
        self._counts = self._before = array("I")
        self._ends = 0.0
        self._until_next = 0
        self._limit = SLOW
        self._next_typical = 0.0

    def judge(self, seconds: float, now: float, failed: bool, asked: bool) -> Verdict | None:
        """Count a request that took ``seconds`` and ends ``now``; say why it is kept, None if it is not."""
        if failed:
            return "failed"
        if self._is_quiet:
            return None
        limit = self._limit
        self._count(seconds, now)
        if asked:
            return "asked"
        if seconds > limit:
            return "slow"
        if now >= self._next_typical:
            is_first = not self._next_typical
            self._next_typical = now + random.expovariate(1 / (_FIRST_PAUSE if is_first else _PAUSE))
            return None if is_first else "typical"  # a first request is a cold one
        return None

    def _count(self, seconds: float, now: float) -> None:
        if now >= self._ends:
            self._begin_window(now)
        place = int(8 * log2(seconds * _LOWEST)) if seconds * _LOWEST > 1 else 0
        self._counts[place if place < _BUCKETS else _BUCKETS - 1] += 1
        self._until_next -= 1
        if self._until_next <= 0:
            self._find_limit()

    def _begin_window(self, now: float) -> None:
        is_next = now < self._ends + _WINDOW
        self._before = self._counts if is_next and self._counts else array("I", bytes(4 * _BUCKETS))
        self._counts = array("I", bytes(4 * _BUCKETS))
        self._ends = now + _WINDOW
        self._until_next = 0

    def _find_limit(self) -> None:
        """Find the upper end of the bucket that has the percentile."""
        counts = [one + other for one, other in zip(self._counts, self._before, strict=True)]
        total = sum(counts)
        self._until_next = _EACH if total >= _LEAST else _LEAST - total
        self._limit = SLOW
        if total < _LEAST:
            return
        left = total * _PERCENTILE
        for place, count in enumerate(counts):
            left -= count
            if left <= 0:
                self._limit = min(SLOW, 2 ** ((place + 1) / 8) / _LOWEST)
                return


_traffic: dict[tuple[str, str], Traffic] = {}


def traffic_of(method: str, route: str) -> Traffic:
    """The traffic of a route, or of a kind of job; the caller bounds how many there are."""
    key = (method, route)
    found = _traffic.get(key)
    return found if found is not None else _traffic.setdefault(key, Traffic(route))


def forget() -> None:
    """Begin anew with every route."""
    _traffic.clear()
