"""Lines of the console on a terminal: short, coloured, and safe whatever a record holds."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from church.lib.log_fields import to_otel
from church.observability.logs import terminal
from church.observability.logs.terminal import format_line

REQUEST = {
    "timestamp": "2026-11-23T13:18:38.070Z",
    "level": "INFO",
    "logger": "church.access",
    "message": "GET /pages/<slug> 200",
    "event": "http.request",
    "service": "church",
    "version": "0.1.0",
    "environment": "development",
    "request_id": "a7215fad3da97c6e1323dbb7",
    "method": "GET",
    "route": "/pages/<path:slug>",
    "status": 200,
    "duration_ms": 12.352,
    "ip": "127.0.0.1",
}


@pytest.fixture(autouse=True)
def _time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone two hours east of UTC."""
    monkeypatch.setenv("TZ", "XYZ-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def plain(**changes: Any) -> str:
    return format_line(json.dumps({**REQUEST, **changes}).encode() + b"\n", coloured=False).decode()


def coloured(**changes: Any) -> str:
    return format_line(json.dumps({**REQUEST, **changes}).encode() + b"\n").decode()


def event(message: str = "work runs as process 7", **fields: Any) -> dict[str, Any]:
    gone = dict.fromkeys(("method", "route", "status", "duration_ms"), None)
    kept = {name: value for name, value in REQUEST.items() if name not in gone}
    return {**kept, "event": "supervisor.start", "message": message, **fields}


def shown(record: dict[str, Any], coloured: bool = False) -> str:
    return format_line(json.dumps(record).encode() + b"\n", coloured).decode()


def test_access_record_is_local_time_request_status_and_duration() -> None:
    assert plain() == "15:18:38 GET /pages/<slug> 200 12 ms\n"
    assert plain(duration_ms=0.4) == "15:18:38 GET /pages/<slug> 200 <1 ms\n"


@pytest.mark.parametrize(
    "record", [REQUEST, event("it broke", level="ERROR", reason="KeyError", exception="Trace\nback", n=1)]
)
def test_record_in_the_names_of_otel_looks_the_same(record: dict[str, Any]) -> None:
    assert shown({to_otel(name): value for name, value in record.items()}) == shown(record)


@pytest.mark.parametrize(("status", "colour"), [(101, 2), (200, 32), (303, 36), (404, 33), (503, 31)])
def test_access_record_status_is_coloured_by_its_class(status: int, colour: int) -> None:
    line = coloured(message=f"GET /pages/<slug> {status}", status=status)
    assert line == (f"\x1b[2m15:18:38\x1b[0m GET /pages/<slug> \x1b[{colour}m{status}\x1b[0m \x1b[2m12 ms\x1b[0m\n")


def test_record_of_level_info_shows_no_level_and_no_ids() -> None:
    assert shown(event(user_ref="u1", trace_id="t", span_id="s")) == "15:18:38 work runs as process 7\n"


@pytest.mark.parametrize(
    ("level", "colour"), [("DEBUG", 36), ("WARNING", 33), ("ERROR", 31), ("CRITICAL", 35), ("NOTE", 31)]
)
def test_record_of_another_level_shows_it_in_its_colour(level: str, colour: int) -> None:
    line = shown(event("it broke", level=level), coloured=True)
    assert line == f"\x1b[2m15:18:38\x1b[0m \x1b[{colour}m{level}\x1b[0m it broke\n"


def test_record_with_a_reason_shows_it_behind_the_message_and_other_fields_dim() -> None:
    record = event("email deferred", level="WARNING", reason="the server is busy", attempt=2)
    assert shown(record) == "15:18:38 WARNING email deferred: the server is busy attempt=2\n"
    assert shown(record, coloured=True).endswith(": the server is busy \x1b[2mattempt=2\x1b[0m\n")


def test_traceback_is_indented_line_by_line() -> None:
    trace = "Traceback (most recent call last):\nValueError: one\x1b[2J\ntwo"
    assert shown(event("job failed", level="ERROR", exception=trace)).splitlines() == [
        "15:18:38 ERROR job failed",
        "    Traceback (most recent call last):",
        "    ValueError: one\\x1b[2J",
        "    two",
    ]


def test_control_characters_of_a_record_do_not_reach_the_terminal() -> None:
    hostile = "a\nb\r\nc\x00d\x1b[31me\u2028f\x85h\x7fi\ud800j"
    lines = shown(event(hostile, reason=hostile, **{"field": hostile, hostile: hostile}))
    assert lines.removesuffix("\n").isprintable()
    assert lines.startswith("15:18:38 a\\x0ab")
    assert plain(message=f"GET /{hostile} 200").removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    "line", [b"something else\n", b"[1]\n", b'"text"\n', b'{"event": "http.request", "message": "no duration"}\n']
)
def test_line_that_is_not_a_record_is_shown_as_it_is(line: bytes) -> None:
    assert format_line(line) == line


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, True),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colour_is_used_unless_the_environment_says_no(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    line = terminal.line_formatter()(json.dumps(REQUEST).encode())
    assert (b"\x1b" in line) is expected
    assert logging.getLevelName(logging.INFO).encode() not in line
