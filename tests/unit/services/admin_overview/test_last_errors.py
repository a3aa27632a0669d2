"""The last records of the error log, and logs that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from church.lib.log_fields import to_otel
from church.services.admin_overview import last_errors
from church.services.admin_overview.last_errors import ErrorRecord, list_last_errors


def line(number: int, **more: Any) -> str:
    record = {"timestamp": f"t{number}", "event": "e", "message": f"m{number}", "request_id": f"r{number}", **more}
    return json.dumps(record) + "\n"


def test_last_errors_are_the_newest_twenty_newest_first(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text("".join(line(number) for number in range(30)))
    seen = list_last_errors(path)
    assert [record.message for record in seen.records] == [f"m{number}" for number in range(29, 9, -1)]
    assert (seen.records[0].at, seen.records[0].request_id, seen.problem) == ("t29", "r29", "")


def test_cause_is_the_end_of_the_traceback_or_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text(line(1, exception="Traceback\n  File x\nOSError: full\n") + line(2, reason="late") + line(3))
    assert [record.cause for record in list_last_errors(path).records] == ["", "late", "OSError: full"]


def test_records_in_the_names_of_otel_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    record = json.loads(line(1, exception="Traceback\nOSError: full"))
    path.write_text(line(2) + json.dumps({to_otel(name): value for name, value in record.items()}) + "\n")
    (newest, other) = list_last_errors(path).records
    assert newest == ErrorRecord("t1", "e", "m1", "OSError: full", "r1")
    assert other.message == "m2"


def test_lines_other_than_records_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    deep = "[" * 100_000
    path.write_bytes(line(1).encode() + b'{"torn": "\xff\n[1]\n\n"text"\n' + deep.encode() + b"\n" + line(2).encode())
    assert [record.message for record in list_last_errors(path).records] == ["m2", "m1"]


def test_huge_log_is_read_only_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_errors, "_MOST_BYTES", 1000)
    path = tmp_path / "error.log"
    path.write_text("".join(line(number) for number in range(1000)))
    seen = list_last_errors(path)
    assert [record.message for record in seen.records] == [f"m{999 - back}" for back in range(len(seen.records))]
    assert 5 < len(seen.records) < 20


def test_values_of_any_type_are_shown_shortened(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text(line(1, message="x" * 5000, event=None, request_id=7))
    (record,) = list_last_errors(path).records
    assert (len(record.message), record.event, record.request_id) == (300, "", "7")


def test_missing_empty_and_unreadable_logs_are_reported(tmp_path: Path) -> None:
    assert "No errors logged on this host yet" in list_last_errors(tmp_path / "error.log").problem
    assert "Cannot read the file: Is a directory" in list_last_errors(tmp_path).problem
    (tmp_path / "error.log").write_text("")
    assert list_last_errors(tmp_path / "error.log").problem == "No errors logged."
