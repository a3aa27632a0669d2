"""The engine's child with one more task, and one more query, ``wait``: it computes until it is stopped."""

from __future__ import annotations

import sys

from church.telemetry_store.child import TASKS, main
from church.telemetry_store.queries import QUERIES, Query

ENDLESS = "SELECT count(*) FROM range(10000000000) a, range(1000) b WHERE a.range % 7 = b.range"


def wait(task):
    yield {"waiting": True}
    yield from task.fetch(ENDLESS, [])


if __name__ == "__main__":
    TASKS["wait"] = wait
    QUERIES["wait"] = Query(QUERIES["logs.counts"].parse, lambda reader, _args: iter([reader._task.fetch(ENDLESS, [])]))
    main(*sys.argv[1:])
