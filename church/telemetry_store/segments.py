"""Segments: Parquet files with rows of one table, in the order of the table. The child process writes and merges them.

A file gets its name only when it is whole and on the disk. Nothing here imports DuckDB: the child hands in its
connection.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from church.telemetry_store.tables import TABLES

ROW_GROUP = 20_000
"""Rows in a row group: the smallest part of a file that a search reads or leaves out."""
FOLDER = "segments"
UNFINISHED = ".part"
DAMAGED = ".damaged"
_MAGIC = b"PAR1"  # a Parquet file begins and ends with it


class SegmentInfo(NamedTuple):
    """A segment and what is in it; times in microseconds since 1970."""

    file: str
    table: str
    rows: int
    bytes: int
    first: int
    last: int
    first_seq: int
    last_seq: int
    is_cut: bool = False
    """Whether its addresses are networks: see ``church.telemetry_store.cut_segments``."""


def segment_name(table: str, first: int, seq: int, resolution: int | None = None) -> str:
    """The name of the file of a segment that begins at ``first`` with the row ``seq``.

    Of thinned samples it tells how many seconds each stands for.
    """
    return f"{table}-{first}-{seq}{f'-{resolution}s' if resolution else ''}.parquet"


def write_segment(connection: Any, table: str, source: str, target: Path) -> SegmentInfo:
    """Write the rows of ``source`` to the new file ``target``, in the order of the table. The sources of a merge stay.

    ``source`` is the name of a table of the connection, or what ``read_segments`` returns. Raises ValueError if it has
    no rows, and what DuckDB raises if it cannot be read or written.
    """
    columns = ", ".join(f'"{column}"' for column in TABLES[table].names)
    unfinished = target.with_name(target.name + UNFINISHED)
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP}"
    select = f"SELECT {columns} FROM {source} ORDER BY {TABLES[table].order}"  # noqa: S608 - a name of ours
    try:
        connection.execute(f"COPY ({select}) TO {_quote(unfinished)} ({options})")
        bounds = _read_bounds(connection, read_segments([unfinished]))
        _keep(unfinished, target)
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()
    return SegmentInfo(target.name, table, bounds[0], target.stat().st_size, *bounds[1:])


def read_segments(paths: Sequence[Path]) -> str:
    """The rows of these files, as a source in SQL."""
    return f"read_parquet([{', '.join(map(_quote, paths))}])"


def looks_whole(folder: Path, segment: SegmentInfo) -> bool:
    """Whether the file of a segment is there, with its size, its beginning and its end; a quick look, no proof."""
    try:
        with (folder / segment.file).open("rb") as file:
            if os.fstat(file.fileno()).st_size != segment.bytes or file.read(len(_MAGIC)) != _MAGIC:
                return False
            file.seek(-len(_MAGIC), os.SEEK_END)
            return file.read() == _MAGIC
    except OSError:
        return False


def _read_bounds(connection: Any, source: str) -> tuple[int, int, int, int, int]:
    """How many rows there are, first and last time, first and last number. Raises ValueError if there are none."""
    query = f"SELECT count(*), min(ts), max(ts), min(seq), max(seq) FROM {source}"  # noqa: S608 - as above
    found: tuple[int, int, int, int, int] = connection.execute(query).fetchone()
    if not found[0]:
        raise ValueError("a segment needs a row")
    return found


def _keep(unfinished: Path, target: Path) -> None:
    """Give the file its name when its bytes are on the disk."""
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.rename(target)


def _quote(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
