"""Benchmark scrapes: does one stay as fast after many workers have been restarted?"""

from __future__ import annotations

import multiprocessing
import os
import statistics

from ops.bench.server import Server, serving

_RECYCLES = 500
_SCRAPES = 40


def act_as_killed_worker(server: Server) -> None:
    """Act as a worker: take a slot, count 40 routes, and exit without cleanup as after kill -9."""
    from church.observability.metrics import definitions, worker_files  # noqa: PLC0415 - each process binds its own

    worker_files.SLOTS.take(server.settings.metrics_dir, "web")
    for route in range(40):
        definitions.http_requests.labels("GET", f"/bench/{route}", "200").inc()
        definitions.http_request_duration.labels("GET", f"/bench/{route}", "2xx").observe(0.01)
    os._exit(0)


def _cpu_per_scrape(server: Server) -> float:
    before = server.cpu()
    for _ in range(_SCRAPES):
        server.get("/metrics")
    return (server.cpu() - before) / _SCRAPES


def measure(rounds: int) -> float:
    """Return the CPU of a scrape after 500 restarted workers over the CPU after four."""
    context = multiprocessing.get_context("fork")

    def recycle(times: int) -> None:
        for _ in range(times):
            process = context.Process(target=act_as_killed_worker, args=(server,))
            process.start()
            process.join()

    with serving() as server:
        recycle(4)
        _cpu_per_scrape(server)
        first = statistics.median(_cpu_per_scrape(server) for _ in range(rounds))
        recycle(_RECYCLES)
        last = statistics.median(_cpu_per_scrape(server) for _ in range(rounds))
        files = len(list(server.settings.metrics_dir.glob("*.db")))
    print(f"  a scrape: {first * 1e3:.2f} ms of CPU, after {_RECYCLES} restarts {last * 1e3:.2f} ms, {files} files")
    return last / first
