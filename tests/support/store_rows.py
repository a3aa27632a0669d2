"""Rows as the telemetry store answers them."""

from __future__ import annotations

import json
from typing import Any

NOW = 1_796_080_637_917_000
"""Microseconds since 1970: 30 November 2026, 23:17 UTC."""
REQUEST = "01a22ebf971025719a3fbd31"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PRINT = "0123456789abcdef"

_LOG = ("duration_ms", "request_id", "user_ref", "route", "status", "exception", "extra", "cpu_ms", "method")


def log_row(message: str = "GET /pages/ 200", **values: Any) -> dict[str, Any]:
    """A record of the log."""
    row = {"ts": NOW, "seq": 42, "host": "one", "level": "INFO", "message": message, "event": "http.request"}
    return {**dict.fromkeys(_LOG), **row, **values}


def span_of(name: str, start: int, length: int, parent: str = "r", **values: Any) -> list[Any]:
    """A span: its id is its name."""
    attributes = values.get("attributes", {})
    kind, status = values.get("kind", "INTERNAL"), values.get("status", "ok")
    return [values.get("id", name), parent, kind, name, start, length, attributes, status]


def trace_row(*spans: list[Any], **values: Any) -> dict[str, Any]:
    """A kept trace of 10 ms."""
    row: dict[str, Any] = {
        "ts": NOW, "seq": 43, "host": "one", "trace_id": TRACE, "span_id": "r", "request_id": REQUEST, "root": "http",
        "name": "GET /pages/", "status": 200, "outcome": "ok", "kept": "slow", "duration_ms": 10.0, "cpu_ms": 4.0,
        "process": "web-1", "error_type": None, "span_count": len(spans), "dropped": None, "events": None,
    }  # fmt: skip
    return {**row, "spans": json.dumps(spans), **values}


def error_row(**values: Any) -> dict[str, Any]:
    """An occurrence of an error."""
    frames = [["flask/app.py", 7, "dispatch", False], ["church/services/pages/render.py", 42, "render", True]]
    row = {
        "ts": NOW, "seq": 44, "host": "one", "fingerprint": PRINT, "error_type": "LookupError", "message": "no page",
        "place": "church/services/pages/render.py:render", "frames": json.dumps(frames), "request_id": REQUEST,
        "route": "/pages/<path:slug>", "status": 500, "user_ref": None, "job_kind": None, "event": "error.unexpected",
    }  # fmt: skip
    return {**row, **values}
