"""The telemetry store in tests: an engine in this process, and lines and rows to keep."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from church.telemetry_store.cut_segments import cut_addresses
from church.telemetry_store.metrics.thinning import thin
from church.telemetry_store.segments import read_segments, write_segment
from church.telemetry_store.store import Store
from church.telemetry_store.tables import TABLES, Row

DAY = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()


class EngineHere:
    """Writes segments in this process. ``error`` is raised by the next tasks, if it is set."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.tasks: list[str] = []

    def run(
        self, task: str, args: dict[str, Any], rows: Mapping[str, Iterable[Row]] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Run the tasks of ingest as the engine's child does."""
        if self.error is not None:
            raise self.error
        self.tasks.append(task)
        table = args["table"]
        with duckdb.connect(config={"threads": 1}) as connection:
            source = read_segments([Path(path) for path in args.get("sources", ())])
            if rows is not None:
                source = "taken"
                _load(connection, table, rows[table])
            if task == "thin":
                sources = [Path(path) for path in args["sources"]]
                yield {"segment": thin(connection, sources, args["resolution"], Path(args["target"]))}
                return
            if task == "cut":
                (cut,) = map(Path, args["sources"])
                yield {"segment": cut_addresses(connection, table, cut, args["before"], Path(args["target"]))}
                return
            yield {"segment": write_segment(connection, table, source, Path(args["target"]))}


def _load(connection: Any, table: str, rows: Iterable[Row]) -> None:
    columns = TABLES[table].columns
    declared = ", ".join(f'"{column.name}" {column.type}' for column in columns)
    connection.execute(f"CREATE TABLE taken ({declared})")
    connection.executemany(f"INSERT INTO taken VALUES ({', '.join('?' * len(columns))})", [list(row) for row in rows])


def log_line(number: int, moment: float = DAY, **fields: object) -> bytes:
    """A line of combined.log with a message of its own."""
    at = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    record = {"timestamp": at, "level": "INFO", "logger": "church.test", "message": f"record {number}", **fields}
    return json.dumps(record).encode() + b"\n"


def kept_messages(store: Store) -> list[str]:
    """The messages of all log rows, in segments and in memory, sorted."""
    snapshot = store.snapshot("logs")
    place = TABLES["logs"].place("message")
    found = [row[place] for row in snapshot.rows]
    if snapshot.segments:
        with duckdb.connect(config={"threads": 1}) as connection:
            source = read_segments([segment.path for segment in snapshot.segments])
            found += [row[0] for row in connection.execute(f"SELECT message FROM {source}").fetchall()]
    return sorted(found)
