"""The journal of metric samples: the rows that no segment holds yet. No log file has them."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from church.telemetry_store.tables import SEQ, TABLES, Row

NAME = "samples.journal"


class SampleJournal:
    """A file with a line for each scrape: its rows as a JSON list."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def append(self, rows: list[Row]) -> None:
        """Add the rows of one scrape. Raises OSError."""
        _append(self._path, rows)

    def read(self) -> Iterator[Row]:
        """The rows that are in the file. A line that a crash has cut off is left out."""
        width = len(TABLES["samples"].columns)
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            for line in file:
                with suppress(ValueError):
                    yield from (tuple(row) for row in json.loads(line) if len(row) == width)

    def drop_to(self, seq: int, left: Iterable[Row]) -> None:
        """Forget the rows up to ``seq``, which a segment holds; ``left`` are all others. Raises OSError."""
        rows = [row for row in left if row[SEQ] > seq]
        if not rows:
            self._path.unlink(missing_ok=True)
            return
        unfinished = self._path.with_name(f"{NAME}.new")
        unfinished.unlink(missing_ok=True)
        _append(unfinished, rows)
        unfinished.replace(self._path)


def _append(path: Path, rows: list[Row]) -> None:
    line = json.dumps(rows, separators=(",", ":")).encode() + b"\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        before = os.fstat(handle).st_size
        if os.write(handle, line) < len(line):
            os.ftruncate(handle, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(handle)
