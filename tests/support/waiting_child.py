"""The engine's child with one more task, ``wait``, which computes until it is stopped."""

from __future__ import annotations

import sys

from church.telemetry_store.child import TASKS, main


def wait(task):
    yield {"waiting": True}
    yield from task.fetch("SELECT count(*) FROM range(10000000000) a, range(1000) b WHERE a.range % 7 = b.range", [])


if __name__ == "__main__":
    TASKS["wait"] = wait
    main(*sys.argv[1:])
