"""``traces.log``: kept traces, errors and profiles, one JSON object a line, beside the log that it is rotated with."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from church.observability.logs.outputs import FileSink
from church.observability.metrics import definitions, worker_files
from church.observability.record_budget import RecordBudget
from church.observability.traces import error_records, export, trace_records
from church.observability.traces.trace_records import Kept

_MAX_WAITING = 2_000  # lines; those of kept traces are not written yet, and larger

_lost = definitions.telemetry_lost


class TraceLog:
    """Writes the records of a process, from a thread; ``static`` are the fields that all of them have."""

    def __init__(self, path: Path, static: dict[str, str]) -> None:
        self._static = static
        self._sink = FileSink(path, _lost.labels("record").inc, most=_MAX_WAITING)
        self._budget = RecordBudget()

    def keep(self, kept: Kept) -> None:
        """Write a trace, and export it where an exporter is configured."""
        if dropped := sum(kept.flight.dropped.values()):
            _lost.labels("span").inc(dropped)
        self._sink.put(lambda: self._encode(kept))

    def _encode(self, kept: Kept) -> bytes:
        record = trace_records.describe(kept, self._static | _identity())
        export.offer(record)
        return _line(record)

    def keep_error(self, record: logging.LogRecord, context: Mapping[str, Any]) -> None:
        """Write the error that a log record is about, if it has one; in a flood of one error only a part."""
        error = error_records.describe(record, context, self._static | _identity())
        if error is None:
            return
        self._budget.ended.clear()  # what is left out is counted here
        if self._budget.admit("error", "high", error["fingerprint"]):
            self._sink.put(_line(error))
        else:
            _lost.labels("error").inc()

    def put(self, record: Mapping[str, Any]) -> None:
        """Write a record of another kind. Its values must be free of secrets."""
        self._sink.put(_line({**record, **self._static, **_identity()}))

    def start(self) -> None:
        """Write from a thread of this process."""
        self._sink.start()

    def stop(self) -> None:
        """Write the queued records and end the thread."""
        self._sink.stop()

    def flush(self) -> None:
        """Write the queued records now."""
        self._sink.flush()


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":"), default=str).encode() + b"\n"


@lru_cache(maxsize=1)
def _host() -> str:
    return socket.gethostname()


def _identity() -> dict[str, str]:
    """The host, and the process on it."""
    return {"host": _host(), "process": worker_files.SLOTS.name}


_log: TraceLog | None = None


def install(log: TraceLog | None) -> None:
    """Write kept traces, errors and profiles to ``log`` from now on."""
    global _log  # noqa: PLW0603 - one for the process, as logging is
    _log = log


def current() -> TraceLog | None:
    """Where this process keeps traces, if it does."""
    return _log


def keep(kept: Kept) -> None:
    """Keep a trace, in a process that writes logs."""
    if _log is not None:
        _log.keep(kept)


def keep_error(record: logging.LogRecord, context: Mapping[str, Any]) -> None:
    """Keep the error that a log record is about."""
    if _log is not None:
        _log.keep_error(record, context)


def put(record: Mapping[str, Any]) -> None:
    """Write a record of another kind, without secrets."""
    if _log is not None:
        _log.put(record)
