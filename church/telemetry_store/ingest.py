"""Ingest: lines of the logs become rows of the store, rows become segments, and old segments go.

What it cannot do now, on a full disk, it tries again later; the log files wait.
"""

from __future__ import annotations

import errno
import logging
import shutil
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from church.lib.processes import give_back_free_memory
from church.telemetry_store.address_cutter import AddressCutter
from church.telemetry_store.follow import Batch, Follower
from church.telemetry_store.metrics.thinning import find_outdated, find_thinnable
from church.telemetry_store.normalise import BadLineError, normalise
from church.telemetry_store.retention import SAMPLES, find_expired, find_mergeable
from church.telemetry_store.store import Engine, Store
from church.telemetry_store.tables import TABLES, Row

log = logging.getLogger("church.observe")

RETRY = 30.0
"""Seconds until a segment that could not be written is tried again."""
LOW_DISK = 128 * 1024 * 1024
"""Free bytes below which no segment is begun: the site needs them more."""
_TIDY_AGAIN = 3600.0
_BEGINS = (b'{"timestamp"', b'{"kind"')


class Limits(NamedTuple):
    """How long and how much is kept; whole addresses for ``address_days``."""

    days: float
    bytes: int
    address_days: float = 3


class Ingest:
    """Takes what is new in the logs, step by step, in one thread."""

    def __init__(
        self,
        store: Store,
        follower: Follower,
        engine: Engine,
        host: str,
        limits: Limits,
        clock: Callable[[], float] = time.time,
        note_errors: Callable[[list[Row]], None] = lambda _rows: None,
    ) -> None:
        self._cutter = AddressCutter(store, engine, follower.folder, limits.address_days, clock)
        self._store = store
        self._follower = follower
        self._engine = engine
        self._host = host
        self._limits = limits
        self._clock = clock
        self._note_errors = note_errors
        self._retry_at: float | None = None  # set while segments cannot be written
        self._behind_since: float | None = None
        self._tidy_at = 0.0
        self._said_failed_line = False
        self._stopped = False
        self.disk_full = False

    def stop(self) -> None:
        """Let the step that runs end soon; may be called from anywhere."""
        self._stopped = True

    def step(self) -> None:
        """Take what is new, write segments that are due, and remove what is too old."""
        self._behind_since = self._behind_since or self._clock()
        if self._take_new():
            self._behind_since = None
        if self._is_due(self._store.seal_due):
            self._seal()
        if not self._stopped:
            self._cutter.step()
        self._store.remove_left_files()

    @property
    def next_step(self) -> float | None:
        """When there is something to do even if no line comes; None for never."""
        if self._cutter.is_busy:
            return self._clock()
        due = self._store.seal_due
        return due if due is None or self._retry_at is None else max(due, self._retry_at)

    def describe(self) -> dict[str, Any]:
        """What is kept and lost, and how many seconds the store is behind the logs."""
        since = self._behind_since
        lag = 0.0 if since is None else max(0.0, self._clock() - since)
        return {
            **self._store.describe(),
            "lag_seconds": round(lag, 1),
            "disk_full": self.disk_full,
            "uncut_segments": self._cutter.count_late(),
        }

    def _take_new(self) -> bool:
        """Take all new lines; False if some are left, because segments cannot be written now."""
        if self._store.is_full and not self._seal():
            return False
        for batch in self._follower.read_new():
            self._take(batch)
            if self._stopped or (self._store.is_full and not self._seal()):
                return False
        return True

    def _take(self, batch: Batch) -> None:
        for line in batch.lines:
            self._take_line(line)
        if batch.torn:
            self._store.count_lost("torn_lines", batch.torn)

    def _take_line(self, line: bytes) -> None:
        if not line:
            return
        try:
            made = normalise(line, self._host, self._store.next_seq)
        except BadLineError:
            self._take_rest(line)
        except Exception:
            self._store.count_lost("lines")
            if not self._said_failed_line:  # once: what this writes is a line of the logs, too
                self._said_failed_line = True
                log.exception("a line of the logs could not be taken", extra={"event": "observe.line_failed"})
        else:
            self._store.take(made.table, made.rows)
            if made.table == "errors":
                self._note_errors(made.rows)

    def _take_rest(self, line: bytes) -> None:
        """Take the record that another process has written behind one that was cut off."""
        begin = max(line.rfind(begin) for begin in _BEGINS)
        if begin > 0:
            self._store.count_lost("torn_lines")
            self._take_line(line[begin:])
        else:
            self._store.count_lost("lines")

    def _is_due(self, moment: float | None) -> bool:
        return moment is not None and moment <= self._clock()

    def _seal(self) -> bool:
        """Write the rows in memory as segments; False if that is not possible now."""
        if self._retry_at is not None and self._retry_at > self._clock():
            return False
        try:
            self._make_room()
            self._store.seal(self._engine)
            self._tidy()
            give_back_free_memory()
        except Exception as error:  # noqa: BLE001 - the child, the disk: it is tried again, and the site goes on
            self._note_failure(error)
            return False
        if self._retry_at is not None:
            log.info("the telemetry store writes segments again", extra={"event": "observe.resumed"})
        self._retry_at, self.disk_full = None, False
        return True

    def _make_room(self) -> None:
        """Remove what is too old or too much. Raises OSError if the disk is full nevertheless."""
        oldest = int((self._clock() - self._limits.days * 86_400) * 1_000_000)
        expired = find_expired(self._store.manifest.all_segments(), oldest, self._limits.bytes)
        expired += find_outdated(self._store.manifest.segments[SAMPLES], int(self._clock() * 1_000_000))
        if expired:
            self._store.replace(expired)
        if self._is_disk_low():
            raise OSError(errno.ENOSPC, "less than 128 MB are free")

    def _is_disk_low(self) -> bool:
        return shutil.disk_usage(self._store.folder).free < LOW_DISK

    def _tidy(self) -> None:
        """Make few segments of many, and few samples of old ones; where that fails, it waits for an hour."""
        if self._tidy_at > self._clock():
            return
        try:
            self._thin()
            self._merge()
        except Exception:
            self._tidy_at = self._clock() + _TIDY_AGAIN
            log.exception("segments could not be merged", extra={"event": "observe.merge_failed"})

    def _thin(self) -> None:
        segments = self._store.manifest.segments[SAMPLES]
        for batch in find_thinnable(segments, int(self._clock() * 1_000_000)):
            if not self._stopped:
                self._store.thin(self._engine, batch.segments, batch.resolution)

    def _merge(self) -> None:
        today = int(self._clock() * 1_000_000)
        for table in TABLES:
            while not self._stopped and (found := find_mergeable(self._store.manifest.segments[table], today)):
                self._store.merge(self._engine, found)

    def _note_failure(self, error: Exception) -> None:
        now = self._clock()
        self.disk_full = "No space left" in str(error) or self._is_disk_low()
        if self._retry_at is None:
            extra = {"event": "observe.paused", "reason": f"{type(error).__name__}: {error}"[:500]}
            log.error("the telemetry store cannot write segments: it tries again each 30 s", extra=extra)
        self._retry_at = now + RETRY
