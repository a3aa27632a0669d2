"""Rows of the telemetry store's tables, and tasks for its engine."""

from __future__ import annotations

from typing import Any

from church.telemetry_store.tables import TABLES, Row

START = 1_700_000_000_000_000
STEP = 1_000_000
"""Microseconds of the first row, and between two rows."""


def make_row(table: str, number: int, **values: Any) -> Row:
    """A row with these values and no others; ``number`` gives its time and place."""
    row = dict.fromkeys(TABLES[table].names) | {"ts": START + number * STEP, "seq": number, "host": "one"} | values
    assert len(row) == len(TABLES[table].names), "no such column"
    return tuple(row.values())


def log_rows(first: int, count: int, **values: Any) -> list[Row]:
    """Log records, each a second after the one before."""
    usual = {"level": "INFO", "event": "http.request", "route": "/x", "status": 200, "duration_ms": 1.5, "bytes": 7}
    return [
        make_row("logs", number, **(usual | {"message": f"GET /x {number}"} | values))
        for number in range(first, first + count)
    ]


def search_task(pieces: list[list[Any]], **args: Any) -> dict[str, Any]:
    """A search of the logs, as the server hands it to the engine."""
    usual: dict[str, Any] = {"span": [0, 2**62], "filters": {}, "limit": 100, "before": None}
    return {"query": "logs.search", "args": usual | args, "pieces": {"logs": pieces}}
