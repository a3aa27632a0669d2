"""Count the CPU time of this process by what used it, once a second."""

from __future__ import annotations

from church.lib import cpu_accounts, threads
from church.observability import raise_in_tests
from church.observability.metrics import client_internals, definitions, worker_files

_counted: dict[str, float] = {}


def start() -> None:
    """Keep accounts of this process's CPU time from now on: once, after the fork."""
    cpu_accounts.start(greenlets=threads.is_patched())


def count() -> None:
    """Add what was used since the last call to the counters. Called in the main thread, each second and at the end."""
    try:
        totals = cpu_accounts.read_totals()
        grown = {kind: total - _counted.get(kind, 0.0) for kind, total in totals.items()}
        worker_files.SlotValue.add_together(
            (client_internals.number_of(definitions.cpu_by_work.labels(kind)), max(0.0, more))
            for kind, more in grown.items()
        )
        _counted.update(totals)
    except Exception:
        if raise_in_tests.on:
            raise
        definitions.telemetry_errors.labels("verb").inc()
