"""Measure how much of the workers' CPU time is known to belong to something, under load."""

from __future__ import annotations

import re
import time

from ops.bench.client import HEADERS, browser_headers, drive
from ops.bench.server import Server, serving

_PATHS = (
    ("/pages/privacy", HEADERS),
    ("/pages/privacy", browser_headers(cookie="church=ended")),
    ("/stripe/pricing", HEADERS),
)
_CONNECTIONS = 8
_LINE = re.compile(rb'^process_cpu_by_work_seconds_total\{work="(\w+)"\} (\S+)$', re.MULTILINE)
_WORK = ("request", "job", "live")
_SETTLED = 3.0  # seconds in which all that was used is counted


def _seconds_by_work(server: Server) -> dict[str, float]:
    time.sleep(_SETTLED)
    return {work.decode(): float(value) for work, value in _LINE.findall(server.get("/metrics"))}


def measure(rounds: int, requests: int) -> dict[str, float]:
    """Return shares of the workers' CPU time: what belongs to requests, jobs and messages, and all that is named."""
    with serving(workers=2) as server:
        for path, headers in _PATHS:
            drive(server.port, path, requests // 4, _CONNECTIONS, headers)
        before, used = _seconds_by_work(server), server.cpu()
        for _ in range(rounds):
            for path, headers in _PATHS:
                drive(server.port, path, requests, _CONNECTIONS, headers)
        after, used = _seconds_by_work(server), server.cpu() - used
    grown = {work: seconds - before.get(work, 0.0) for work, seconds in after.items()}
    for work, seconds in sorted(grown.items(), key=lambda item: -item[1]):
        print(f"  {work:10} {seconds:8.3f} s {seconds / used:7.1%}")
    served = sum(grown[work] for work in _WORK)
    return {"cpu_of_work": served / used, "cpu_named": sum(grown.values()) / used}
