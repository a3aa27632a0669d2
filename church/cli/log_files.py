"""The log file itself, for `flask church logs` while the telemetry store does not run."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Generator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from church.lib.log_fields import read_plainly

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_PAUSE = 0.5  # seconds between two looks at the end of the file


class Filters(NamedTuple):
    """Which records: this level or above, with a text, of a request, from a time on (microseconds)."""

    level: str = LEVELS[0]
    text: str | None = None
    request_id: str | None = None
    since: int = 0

    def match(self, row: dict[str, Any], line: str) -> bool:
        """Whether a record is one of those."""
        if self.level != LEVELS[0] and row.get("level") not in LEVELS[LEVELS.index(self.level) :]:
            return False
        if self.text is not None and self.text.lower() not in line.lower():
            return False
        return (self.request_id is None or row.get("request_id") == self.request_id) and row["ts"] >= self.since


def read_last(path: Path, filters: Filters, count: int) -> list[dict[str, Any]]:
    """Return the last ``count`` records of the file that match. Raises OSError."""
    with path.open("rb") as file:
        return list(deque(_read_matching(file, filters), maxlen=count))


def follow(path: Path, filters: Filters) -> Generator[dict[str, Any], None, None]:
    """Yield records as they are written, for ever, through rotation. Raises OSError."""
    end = 2  # of the first file; later ones are new from their begin
    while True:
        with path.open("rb") as file:
            file.seek(0, end)
            while not _was_rotated(path, file):
                yield from _read_matching(file, filters)
                time.sleep(_PAUSE)
            yield from _read_matching(file, filters)
        end = 0


def _was_rotated(path: Path, file: BinaryIO) -> bool:
    """Whether ``path`` is another file now."""
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:  # between rename and the first line of the new file
        return False


def _read_matching(file: BinaryIO, filters: Filters) -> Iterator[dict[str, Any]]:
    while (line := file.readline()).endswith(b"\n"):
        row = _parse(line)
        if row is not None and filters.match(row, line.decode("utf-8", "replace")):
            yield row
    file.seek(-len(line), 1)  # the rest of the line is still to come


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line with plain names; None for one that is torn."""
    try:
        row = read_plainly(json.loads(line))
        moment = datetime.fromisoformat(row["timestamp"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return {"ts": int(moment.timestamp() * 1_000_000), **row}
