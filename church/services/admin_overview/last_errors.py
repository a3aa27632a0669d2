"""Read the last records of this host's error log, newest first."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from church.lib.log_fields import read_plainly
from church.lib.threads import run_off_hub

SHOWN = 20
_MOST_BYTES = 256 * 1024  # read from the end of the file; a record has a few hundred bytes, a traceback some thousand
_MOST_TEXT = 300


@dataclass(frozen=True)
class ErrorRecord:
    """One record; ``cause`` is the last line of its traceback, or its reason."""

    at: str
    event: str
    message: str
    cause: str
    request_id: str


@dataclass(frozen=True)
class ErrorLog:
    """The records of ``path``; ``problem`` is why there are none."""

    path: str
    records: list[ErrorRecord]
    problem: str = ""


def list_last_errors(path: Path, most: int = SHOWN) -> ErrorLog:
    """Read the last ``most`` records of ``path``. Never raises: an unreadable file is reported as the problem."""
    try:
        lines = run_off_hub(_last_lines, path)
    except FileNotFoundError:
        return ErrorLog(str(path), [], "No errors logged on this host yet.")
    except OSError as error:
        return ErrorLog(str(path), [], f"Cannot read the file: {error.strerror}.")
    records: list[ErrorRecord] = []
    for line in reversed(lines):
        if len(records) == most:
            break
        if (record := _parsed(line)) is not None:
            records.append(record)
    return ErrorLog(str(path), records, "" if records else "No errors logged.")


def _last_lines(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _MOST_BYTES))
        return file.read(_MOST_BYTES).splitlines()  # the first line may be cut off at its start


def _parsed(line: bytes) -> ErrorRecord | None:
    """Parse a record; None for a line that is not one, such as a line cut off at its start or by a full disk."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    record = read_plainly(record)
    texts = {name: _text(record.get(name)) for name in ("timestamp", "event", "message", "request_id")}
    return ErrorRecord(texts["timestamp"], texts["event"], texts["message"], _cause(record), texts["request_id"])


def _cause(record: dict[str, Any]) -> str:
    lines = str(record.get("exception") or "").strip().splitlines()
    return lines[-1][:_MOST_TEXT] if lines else _text(record.get("reason"))


def _text(value: Any) -> str:
    return "" if value is None else str(value)[:_MOST_TEXT]
