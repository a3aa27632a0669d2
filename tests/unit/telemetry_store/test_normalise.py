"""Lines of combined.log and traces.log become rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from church.lib.log_fields import to_otel
from church.telemetry_store.normalise import BadLineError, normalise, parse_time
from church.telemetry_store.tables import TABLES

MOMENT = "2026-11-30T22:09:44.123Z"
MICROSECONDS = 1_796_076_584_123_000
ACCESS: dict[str, Any] = {
    "timestamp": MOMENT,
    "level": "INFO",
    "logger": "church.access",
    "message": "GET /pages/<slug> 200",
    "event": "http.request",
    "service": "church",
    "version": "0.1.0",
    "environment": "development",
    "request_id": "0192f0c1a2b3aaaaaaaaaaaa",
    "trace_id": "a" * 32,
    "span_id": "b" * 16,
    "user_ref": "acc_1",
    "method": "GET",
    "route": "/pages/<slug>",
    "status": 200,
    "duration_ms": 12.5,
    "cpu_ms": 3.25,
    "bytes": 4096,
    "path": "/pages/home",
    "ip": "192.0.2.1",
    "user_agent": "Firefox",
    "referrer_host": "example.org",
}


def rows_of(fields: object) -> list[dict[str, Any]]:
    """The rows of one line, with the names of their columns."""
    made = normalise(json.dumps(fields).encode() + b"\n", "host-1", 7)
    return [{"table": made.table, **TABLES[made.table].to_dict(row)} for row in made.rows]


@pytest.mark.parametrize("rename", [str, to_otel])
def test_normalise_access_record_in_either_scheme_fills_its_columns(rename: Any) -> None:
    (row,) = rows_of({rename(name): value for name, value in ACCESS.items()})
    assert row["table"] == "logs"
    assert (row["ts"], row["seq"], row["host"]) == (MICROSECONDS, 7, "host-1")
    expected = {name: value for name, value in ACCESS.items() if name not in {"timestamp", "service"}}
    assert {name: row[name] for name in expected} == expected
    assert row["extra"] is None


@pytest.mark.parametrize("rename", [str, to_otel])
def test_normalise_other_fields_go_to_extra(rename: Any) -> None:
    (row,) = rows_of({rename(name): value for name, value in {**ACCESS, "attempts": 3, "kind": "trace"}.items()})
    assert row["table"] == "logs"
    assert json.loads(row["extra"]) == {"attempts": 3}


def test_normalise_value_that_does_not_fit_goes_to_extra() -> None:
    (row,) = rows_of({**ACCESS, "status": "broken", "bytes": 2**70, "duration_ms": True})
    assert (row["status"], row["bytes"], row["duration_ms"]) == (None, None, None)
    assert json.loads(row["extra"]) == {"status": "broken", "bytes": 2**70, "duration_ms": True}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{",
        b"[]",
        b'"text"',
        b"{}",
        b'{"timestamp": 5}',
        b'{"timestamp": "soon"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_normalise_line_that_is_no_record_is_refused(line: bytes) -> None:
    with pytest.raises(BadLineError):
        normalise(line, "host-1", 1)


def test_normalise_text_that_an_engine_refuses_is_replaced() -> None:
    (row,) = rows_of({**ACCESS, "message": "a\0b\ud800c", "note": "x\0y", "path": "/" + "a" * 50_000})
    assert row["message"] == "a\ufffdb?c"
    assert "\\u0000" not in row["extra"]
    assert len(row["path"]) < 20_000


def test_normalise_trace_keeps_spans_as_json_and_counts_them() -> None:
    spans = [["b" * 16, "a" * 16, "CLIENT", "SELECT accounts", 10, 20, {"db.system.name": "sqlite"}, "ok"]]
    trace = {
        "kind": "trace",
        "timestamp": MOMENT,
        "trace_id": "a" * 32,
        "root": "http",
        "kept": "slow",
        "host": "web-2",
    }
    (row,) = rows_of({**trace, "spans": spans, "dropped": {"SELECT accounts": 12}, "duration_ms": 5})
    assert (row["table"], row["host"], row["kept"], row["span_count"]) == ("traces", "web-2", "slow", 1)
    assert json.loads(row["spans"]) == spans
    assert json.loads(row["dropped"]) == {"SELECT accounts": 12}
    assert row["links"] is None


def test_normalise_error_keeps_its_frames() -> None:
    frames = [["church/services/x.py", 42, "pay", True]]
    (row,) = rows_of(
        {"kind": "error", "timestamp": MOMENT, "fingerprint": "f" * 16, "frames": frames, "handled": False}
    )
    assert (row["table"], row["fingerprint"], row["handled"]) == ("errors", "f" * 16, False)
    assert json.loads(row["frames"]) == frames


def test_normalise_profile_gives_a_row_for_each_stack() -> None:
    samples = [["/pages/<slug>", "a;b", 3], ["(none)", "a", 1], "broken"]
    rows = rows_of(
        {"kind": "profile", "timestamp": MOMENT, "process": "web-1", "seconds": 60, "rate": 20, "samples": samples}
    )
    assert [(row["seq"], row["route"], row["stack"], row["count"]) for row in rows] == [
        (7, "/pages/<slug>", "a;b", 3),
        (8, "(none)", "a", 1),
    ]
    assert {(row["process"], row["seconds"], row["rate"]) for row in rows} == {("web-1", 60.0, 20.0)}


def test_parse_time_offset_is_taken_into_account() -> None:
    assert parse_time("2026-11-30T23:09:44.123+01:00") == MICROSECONDS
    assert parse_time("2026-11-30T22:09:44.123") == MICROSECONDS
