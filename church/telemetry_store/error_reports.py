"""Tell the site which errors have occurred on this host, so that admins hear of those that are new or back.

What was told before is told again after a restart: the site takes a group of errors as often as it comes.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from church.telemetry_store.site import SiteError, Target, post
from church.telemetry_store.tables import TABLES, TS, Row

log = logging.getLogger("church.observe")

PATH = "/api/telemetry/errors"
GATHER = 5.0
"""Seconds from an error to its report, so that many are one."""
RETRY = 30.0
MOST = 200
"""The most groups of a report."""
_MOST_WAITING = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES = [column.name for column in TABLES["errors"].columns]
_PLACES = {name: _NAMES.index(name) for name in ("fingerprint", "error_type", "place", "message", "version")}


class _Group(NamedTuple):
    """Occurrences that were not told yet; times in microseconds since 1970, texts of the last one."""

    first: int
    last: int
    texts: dict[str, str]


class ErrorReports:
    """Gathers groups of errors, and sends them to the site from a thread of its own."""

    def __init__(self, target: Target, send: Callable[[Target, str, bytes], str] = post) -> None:
        self._target = target
        self._send = send
        self._lock = threading.Lock()
        self._waiting: dict[str, _Group] = {}
        self._some = threading.Event()
        self._failed = False

    def note(self, rows: Iterable[Row]) -> None:
        """Take rows of the table ``errors``; may be called from any thread."""
        with self._lock:
            for row in rows:
                self._add(row)
            if self._waiting:
                self._some.set()

    def run(self, stop: threading.Event) -> None:
        """Report what is noted until ``stop`` is set; then call ``wake``."""
        while not stop.is_set():
            self._some.wait()
            if stop.wait(GATHER) or (not self.report() and stop.wait(RETRY)):
                return

    def wake(self) -> None:
        """Let ``run`` see that it has to stop."""
        self._some.set()

    def report(self) -> bool:
        """Send what waits; False if the site did not take it, and it has to be sent again."""
        with self._lock:
            sent = dict(list(self._waiting.items())[:MOST])
        try:
            if sent:
                errors = [_describe(group) for group in sent.values()]
                self._send(self._target, PATH, json.dumps({"errors": errors}).encode())
        except SiteError as error:
            self._note_failure(str(error))
            return False
        self._failed = False
        with self._lock:
            for fingerprint, group in sent.items():
                if self._waiting.get(fingerprint) is group:
                    del self._waiting[fingerprint]
            if not self._waiting:
                self._some.clear()
        return True

    def _add(self, row: Row) -> None:
        texts = {name: str(row[place] or "") for name, place in _PLACES.items()}
        fingerprint, moment = texts["fingerprint"], row[TS]
        known = self._waiting.get(fingerprint)
        if known is None:
            if fingerprint and len(self._waiting) < _MOST_WAITING:
                self._waiting[fingerprint] = _Group(moment, moment, texts)
            return
        is_last = moment >= known.last
        self._waiting[fingerprint] = _Group(
            min(known.first, moment), max(known.last, moment), texts if is_last else known.texts
        )

    def _note_failure(self, reason: str) -> None:
        if not self._failed:
            extra = {"event": "observe.report_failed", "reason": reason}
            log.warning("errors are not reported: the site %s", reason, extra=extra)
        self._failed = True


def _describe(group: _Group) -> dict[str, Any]:
    texts = group.texts
    return {
        "fingerprint": texts["fingerprint"],
        "error_type": texts["error_type"][:200] or "unknown",
        "place": texts["place"][:300],
        "message": texts["message"][:300],
        "version": texts["version"][:100],
        "first": _write_time(group.first),
        "last": _write_time(group.last),
    }


def _write_time(moment: int) -> str:
    return (_EPOCH + timedelta(microseconds=moment)).isoformat()
