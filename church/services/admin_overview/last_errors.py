"""The end of this host's error log, as an admin reads it: the last records, newest first."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from church.lib.threads import off_hub

SHOWN = 20
_MOST_BYTES = 256 * 1024  # of the file's end; a record is a few hundred bytes, or a traceback of some thousand
_MOST_TEXT = 300


@dataclass(frozen=True)
class ErrorRecord:
    """One record; ``cause`` is the last line of its traceback or its stated reason."""

    at: str
    event: str
    message: str
    cause: str
    request_id: str


@dataclass(frozen=True)
class ErrorLog:
    """What was found in ``path``; ``problem`` says why there is nothing to show."""

    path: str
    records: list[ErrorRecord]
    problem: str = ""


def list_last_errors(path: Path, most: int = SHOWN) -> ErrorLog:
    """The last ``most`` records of ``path``. Never raises: a file that can't be read is what is said of it."""
    try:
        lines = off_hub(_last_lines, path)
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
        return file.read(_MOST_BYTES).splitlines()  # the first of which may have lost its beginning


def _parsed(line: bytes) -> ErrorRecord | None:
    """A line that is no record, cut by where we began or torn by a full disk, is left out."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    texts = {name: _text(found.get(name)) for name in ("timestamp", "event", "message", "request_id")}
    return ErrorRecord(texts["timestamp"], texts["event"], texts["message"], _cause(found), texts["request_id"])


def _cause(found: dict[str, Any]) -> str:
    lines = str(found.get("exception") or "").strip().splitlines()
    return lines[-1][:_MOST_TEXT] if lines else _text(found.get("reason"))


def _text(value: Any) -> str:
    return "" if value is None else str(value)[:_MOST_TEXT]
