"""Once a day, cut the addresses that are older than a few days, in segments and in log files."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from church.telemetry_store.cut_logs import LogCutter
from church.telemetry_store.cut_segments import TABLES_WITH_ADDRESSES, find_uncut
from church.telemetry_store.segments import SegmentInfo
from church.telemetry_store.store import Engine, Store

log = logging.getLogger("church.observe")

EVERY = 86_400.0
AGAIN = 3_600.0
"""Seconds from a run to the next one, and from one that failed."""
SLICE = 0.2
"""Seconds of work between which new lines are taken."""


class AddressCutter:
    """Works in slices, in the thread that takes rows and seals them: no segment is merged meanwhile."""

    def __init__(
        self, store: Store, engine: Engine, logs: Path, days: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._engine = engine
        self._logs = LogCutter(logs, store.folder, store.rename_log)
        self._days = days
        self._clock = clock
        self._next_run = 0.0
        self._run: Iterator[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a run is not at its end."""
        return self._run is not None

    def step(self) -> None:
        """Begin a run if one is due, or go on with it for a moment. A failure is logged, and tried again."""
        if self._run is None:
            if self._clock() < self._next_run:
                return
            self._run = self._cut(self._clock() - self._days * 86_400)
        until = time.monotonic() + SLICE
        try:
            for _ in self._run:
                if time.monotonic() >= until:
                    return
        except Exception:
            self._next_run = self._clock() + AGAIN
            log.exception("addresses could not be cut", extra={"event": "observe.cut_failed"})
        else:
            self._next_run = self._clock() + EVERY
        self._run = None

    def count_late(self) -> int:
        """How many segments have whole addresses a day after these should have been cut."""
        return len(self._find(self._clock() - self._days * 86_400 - EVERY))

    def _cut(self, before: float) -> Iterator[None]:
        for segment in self._find(before):
            if segment in self._store.manifest.segments[segment.table]:  # else it was merged or removed meanwhile
                self._store.cut(self._engine, segment, int(before * 1_000_000))
            yield
        yield from self._logs.run(before)

    def _find(self, before: float) -> list[SegmentInfo]:
        segments = [segment for table in TABLES_WITH_ADDRESSES for segment in self._store.manifest.segments[table]]
        return find_uncut(segments, int(before * 1_000_000))
