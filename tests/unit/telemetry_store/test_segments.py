"""Segments are whole files, sorted by time, with their bounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from church.telemetry_store.segments import looks_whole, read_segments, segment_name, write_segment
from church.telemetry_store.tables import TABLES


@pytest.fixture
def connection() -> Iterator[Any]:
    """A database in memory with an empty table for the rows of profiles."""
    with duckdb.connect(config={"threads": 1}) as opened:
        columns = ", ".join(f'"{column.name}" {column.type}' for column in TABLES["profiles"].columns)
        opened.execute(f"CREATE TABLE rows ({columns})")
        yield opened


def add_rows(connection: Any, *times: int, seq: int = 0) -> None:
    """Replace the rows of the table by one for each of these times."""
    connection.execute("DELETE FROM rows")
    for number, moment in enumerate(times, seq):
        values = (moment, number, "host-1", "web-1", 60.0, 20.0, "/", "a;b", 1)
        connection.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)


def test_write_segment_sorts_rows_and_tells_their_bounds(connection: Any, tmp_path: Path) -> None:
    add_rows(connection, 30, 10, 20, seq=5)
    target = tmp_path / segment_name("profiles", 10, 5)
    segment = write_segment(connection, "profiles", "rows", target)
    assert segment == ("profiles-10-5.parquet", "profiles", 3, target.stat().st_size, 10, 30, 5, 7, False)
    assert connection.execute(f"SELECT ts FROM '{target}'").fetchall() == [(10,), (20,), (30,)]
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert looks_whole(tmp_path, segment)


def test_write_segment_of_segments_merges_them(connection: Any, tmp_path: Path) -> None:
    paths = [tmp_path / "one's.parquet", tmp_path / "two.parquet"]
    for seq, path in enumerate(paths):
        add_rows(connection, 20 - seq, 40, seq=seq * 2)
        write_segment(connection, "profiles", "rows", path)
    merged = write_segment(connection, "profiles", read_segments(paths), tmp_path / "merged.parquet")
    assert (merged.rows, merged.first, merged.last, merged.first_seq, merged.last_seq) == (4, 19, 40, 0, 3)
    found = connection.execute(f"SELECT ts, seq FROM '{tmp_path / 'merged.parquet'}'").fetchall()
    assert found == [(19, 2), (20, 0), (40, 1), (40, 3)]
    assert all(path.exists() for path in paths)


def test_write_segment_without_rows_leaves_no_file(connection: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a row"):
        write_segment(connection, "profiles", "rows", tmp_path / "empty.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "zeros", "gone"])
def test_looks_whole_damaged_file_is_noticed(connection: Any, tmp_path: Path, damage: str) -> None:
    add_rows(connection, 10)
    path = tmp_path / "one.parquet"
    segment = write_segment(connection, "profiles", "rows", path)
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(data[:-10] if damage == "cut" else data[:-4] + b"\0\0\0\0")
    assert not looks_whole(tmp_path, segment)
