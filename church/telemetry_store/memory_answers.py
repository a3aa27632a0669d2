"""Answers the most frequent questions from the rows in memory, without DuckDB: the newest log records, and tails."""

from __future__ import annotations

import time
from itertools import islice
from typing import Any, NamedTuple

from church.telemetry_store.queries.log_filters import to_function
from church.telemetry_store.store import Store
from church.telemetry_store.tables import SEQ, TABLES, TS, Row

_LOGS = TABLES["logs"]


class MemoryAnswer(NamedTuple):
    """Rows, whether there may be more, and the milliseconds of CPU it took."""

    rows: list[dict[str, Any]]
    more: bool
    cpu_ms: float


def answer_from_memory(name: str, args: dict[str, Any], store: Store) -> MemoryAnswer | None:
    """Answer a query if the rows in memory are enough for it, else return None."""
    if name not in {"logs.search", "logs.tail"}:
        return None
    begin = time.thread_time()
    found = _search(args, store) if name == "logs.search" else _tail(args, store)
    if found is None:
        return None
    rows, more = found
    return MemoryAnswer([_LOGS.to_dict(row) for row in rows], more, round((time.thread_time() - begin) * 1000, 1))


def _search(args: dict[str, Any], store: Store) -> tuple[list[Row], bool] | None:
    """Find a full page of records that are newer than all that are only in segments."""
    newest = store.newest("logs")
    begin, end = args["span"]
    wanted, before, limit = to_function(args["filters"]), args["before"], args["limit"]
    rows = [
        row
        for row in newest
        if begin <= row[TS] < end
        and row[TS] > newest.horizon
        and (before is None or (row[TS], row[SEQ]) < before)
        and wanted(row)
    ]
    may_have_older = newest.horizon >= begin
    if len(rows) < limit and may_have_older:
        return None
    rows.sort(key=lambda row: (row[TS], row[SEQ]), reverse=True)
    return rows[:limit], len(rows) > limit or may_have_older


def _tail(args: dict[str, Any], store: Store) -> tuple[list[Row], bool] | None:
    """Find the newest records, or those after a record that is still in memory, oldest first."""
    newest = store.newest("logs")
    wanted, limit, after = to_function(args["filters"]), args["limit"], args["after"]
    if after is None:
        rows = list(islice(filter(wanted, reversed(newest)), limit))
        return (rows[::-1], False) if len(rows) == limit or not store.snapshot("logs").segments else None
    oldest = newest.begin()
    if after + 1 < (store.next_seq if oldest is None else oldest[1]):
        return None
    rows = newest.after((0, after), wanted)
    return rows[-limit:], len(rows) > limit
