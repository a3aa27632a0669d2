"""Queries of the telemetry store: arguments are checked in the parent, and SQL runs in the engine's child."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from church.telemetry_store.queries import (
    errors,
    ids,
    logs,
    members,
    metrics,
    profiles,
    requests,
    routes,
    security,
    traces,
    visitors,
)
from church.telemetry_store.queries.query import Plan, Query
from church.telemetry_store.queries.reader import Reader
from church.telemetry_store.task import Task

__all__ = ["QUERIES", "Plan", "Query", "run_query"]

QUERIES: dict[str, Query] = {
    **logs.QUERIES,
    **requests.QUERIES,
    **ids.QUERIES,
    **traces.QUERIES,
    **routes.QUERIES,
    **errors.QUERIES,
    **profiles.QUERIES,
    **metrics.QUERIES,
    **security.QUERIES,
    **members.QUERIES,
    **visitors.QUERIES,
}
"""Every query by its name."""


def run_query(task: Task) -> Iterator[dict[str, Any]]:
    """Run a query in the engine's child: args ``query``, its ``args``, and the ``pieces`` of each table it reads."""
    begin = time.thread_time()
    reader = Reader(task)
    for rows in QUERIES[task.args["query"]].run(reader, task.args["args"]):
        if rows:
            yield {"rows": rows}
    end: dict[str, Any] = {
        "cpu_ms": round((time.thread_time() - begin) * 1000, 1),
        "complete": reader.complete,
        "more": reader.more,
    }
    yield {"end": end | ({"damaged": reader.damaged} if reader.damaged else {})}
