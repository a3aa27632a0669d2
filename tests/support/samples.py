"""Samples of metrics for tests: rows, and answers to queries of them by the engine's own database."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import duckdb

from church.telemetry_store.queries import QUERIES
from church.telemetry_store.queries.arguments import Arguments
from church.telemetry_store.queries.reader import Reader
from church.telemetry_store.tables import TABLES, Row
from church.telemetry_store.task import Task

COLUMNS = TABLES["samples"].columns


def sample(ts: int, name: str = "scrape_up", kind: str = "gauge", value: float = 1.0, **more: Any) -> dict[str, Any]:
    """A row of the table; ``more`` are other columns than those of a gauge without labels."""
    row = {"ts": ts, "seq": ts // 1_000_000, "host": "a", "resolution": 15, "name": name, "kind": kind, "source": "P"}
    return {**row, "labels": "{}", "value": value, "total": None, "buckets": None, "bounds": None, **more}


@contextmanager
def sample_table(name: str = "recent_samples") -> Iterator[Any]:
    """A connection to a database in memory with an empty table for samples."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"CREATE TABLE {name} ({', '.join(f'{column.name} {column.type}' for column in COLUMNS)})")
        yield connection


def add(connection: Any, rows: Iterable[dict[str, Any] | Row], name: str = "recent_samples") -> None:
    """Add rows to the table."""
    types = ", ".join(f"'{column.name}': '{column.type}'" for column in COLUMNS)
    with NamedTemporaryFile("w", suffix=".json") as file:
        for row in rows:
            values = row if isinstance(row, dict) else dict(zip(TABLES["samples"].names, row, strict=True))
            file.write(json.dumps(values) + "\n")
        file.flush()
        source = f"read_json(?, format='newline_delimited', columns={{{types}}})"
        connection.execute(f"INSERT INTO {name} SELECT * FROM {source}", [file.name])


def ask(connection: Any, query: str, segments: Iterable[Path] = (), **args: Any) -> list[dict[str, Any]]:
    """The rows that a query answers, of the table and these segments."""
    plan = QUERIES[query].parse(Arguments({{"begin": "from", "end": "to"}.get(key, key): args[key] for key in args}))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        task = Task(connection.cursor(), ours, Path("unused"))
        pieces = [["", 0, 2**62, 0], *([str(path), 0, 2**62, 0] for path in segments)]
        task.args = {"pieces": dict.fromkeys(plan.tables, pieces)}
        return [row for rows in QUERIES[query].run(Reader(task), plan.args) for row in rows]
