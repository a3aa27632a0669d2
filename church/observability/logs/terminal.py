"""Log records as a terminal shows them: a short line of time, level and message, in colour."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime
from typing import Any

from church.lib.log_fields import read_plainly

_DIM, _RED, _GREEN, _YELLOW, _MAGENTA, _CYAN = "2", "31", "32", "33", "35", "36"
_LEVELS = {"DEBUG": _CYAN, "WARNING": _YELLOW, "ERROR": _RED, "CRITICAL": _MAGENTA}
_STATUS_CLASSES = {"2": _GREEN, "3": _CYAN, "4": _YELLOW, "5": _RED}
# Fields that are shown in their own place, or only in the log file.
_HIDDEN = frozenset({
    "timestamp", "level", "logger", "message", "event", "service", "version", "environment", "exception", "stack",
    "reason", "request_id", "trace_id", "span_id", "user_ref", "ip", "error_type", "fingerprint",
})  # fmt: skip


def line_formatter() -> Callable[[bytes], bytes]:
    """The formatter for this environment; without colours if NO_COLOR is set (https://no-color.org)."""
    coloured = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return lambda line: format_line(line, coloured)


def format_line(line: bytes, coloured: bool = True) -> bytes:
    """Turn the JSON line of a record into its line for people, with the traceback below it."""
    try:
        record = read_plainly(json.loads(line))
        text = _format_record(record, _paint if coloured else _leave_plain)
    except (ValueError, TypeError, AttributeError, KeyError):
        return line
    return text.encode("utf-8", "backslashreplace")


def _format_record(record: dict[str, Any], paint: Callable[[str, str], str]) -> str:
    parts = [paint(_local_time(record["timestamp"]), _DIM)] if "timestamp" in record else []
    level = record.get("level", "")
    if level not in {"INFO", ""}:
        parts.append(paint(level, _LEVELS.get(level, _RED)))
    if record.get("event") == "http.request":
        parts.append(_request(record, paint))
    else:
        parts.append(_event(record, paint))
    text = " ".join(parts) + "\n"
    for name in ("exception", "stack"):
        text += "".join(f"    {_printable(part)}\n" for part in str(record.get(name, "")).splitlines())
    return text


def _local_time(timestamp: str) -> str:
    return datetime.fromisoformat(timestamp).astimezone().strftime("%H:%M:%S")


def _request(record: dict[str, Any], paint: Callable[[str, str], str]) -> str:
    """``GET /pages/<slug> 200 12 ms``, the status coloured by its class."""
    request, _, status = _printable(record["message"]).rpartition(" ")
    duration = record["duration_ms"]
    shown = f"{duration:.0f} ms" if duration >= 1 else "<1 ms"
    return f"{request} {paint(status, _STATUS_CLASSES.get(status[:1], _DIM))} {paint(shown, _DIM)}"


def _event(record: dict[str, Any], paint: Callable[[str, str], str]) -> str:
    """The message, the reason of an error behind it, and what else the record has."""
    text = _printable(record.get("message", ""))
    if record.get("reason"):
        text += f": {_printable(record['reason'])}"
    fields = " ".join(f"{_printable(k)}={_printable(v)}" for k, v in record.items() if k not in _HIDDEN)
    return f"{text} {paint(fields, _DIM)}" if fields else text


def _printable(value: Any) -> str:
    """Escape control characters, so that no value can steer the terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(value))


def _paint(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m"


def _leave_plain(text: str, _colour: str) -> str:
    return text
