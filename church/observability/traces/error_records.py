"""The record of an error: an exception that was logged, with its frames and what it belongs to."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from church.observability import fingerprints
from church.observability.logs.records import timestamp
from church.observability.logs.redaction import redact_text

_MAX_MESSAGE = 300
_MAX_FRAMES = 30
_INTERNAL_ERROR = 500
_UNEXPECTED = "error.unexpected"
"""The event of what a request raised, which is answered with 500."""
_UNHANDLED = frozenset({_UNEXPECTED, "process.uncaught", "job.failed", "job.dead"})
"""Events of records about exceptions that reached the end of what they happened in."""


def describe(record: logging.LogRecord, context: Mapping[str, Any], static: Mapping[str, str]) -> dict[str, Any] | None:
    """The error that a log record is about; None if it has no exception. ``context`` is that of its request or job."""
    error, trace = (record.exc_info or (None, None, None))[1:]
    if error is None:
        return None
    problem = fingerprints.identify(error, trace)
    event = _event_of(record)
    fields = {
        "kind": "error",
        "timestamp": timestamp(record.created),
        "fingerprint": problem.fingerprint,
        "error_type": problem.error_type,
        "message": redact_text(str(error))[:_MAX_MESSAGE],
        "place": problem.place,
        "frames": _list_frames(trace or error.__traceback__),
        **context,
        "status": _INTERNAL_ERROR if event == _UNEXPECTED else None,
        "handled": not is_unhandled(record),
        "level": record.levelname,
        "event": event,
        **static,
    }
    return {name: value for name, value in fields.items() if value is not None}


def is_unhandled(record: logging.LogRecord) -> bool:
    """Whether the exception that a record is about has ended its request, job or process."""
    return _event_of(record) in _UNHANDLED


def _event_of(record: logging.LogRecord) -> str:
    return getattr(record, "event", None) or record.name


def _list_frames(trace: TracebackType | None) -> list[list[Any]]:
    """The innermost frames, the last one at the end: file, line, function, and whether it is ours."""
    frames = []
    for frame, line in traceback.walk_tb(trace):
        path, is_ours = fingerprints.shorten_path(frame.f_code.co_filename)
        frames.append([path, line, fingerprints.name_function(frame.f_code), is_ours])
    return frames[-_MAX_FRAMES:]
