"""Soak test: memory of the workers during a long run of mixed requests."""

from __future__ import annotations

import time

from ops.bench.client import drive
from ops.bench.server import serving

_PATHS = ("/", "/pages/", "/pages/privacy", "/pages/?q=backup", "/feed.xml", "/health", "/metrics")


def run(minutes: float) -> None:
    """Request all paths in turn and print the memory of the workers ten times."""
    with serving(workers=2, CHURCH_LIMIT_SEARCH="1000000/second") as server:
        for path in _PATHS:
            drive(server.port, path, 200, 8)
        start = server.memory()
        ends = time.monotonic() + minutes * 60
        for tenth in range(1, 11):
            requests = 0
            while time.monotonic() < ends - minutes * 60 * (10 - tenth) / 10:
                for path in _PATHS:
                    drive(server.port, path, 50, 8)
                    requests += 50
            print(f"  {minutes * tenth / 10:5.1f} min: {server.memory() / 1e6:6.1f} MB, {requests} requests")
        print(f"  memory {start / 1e6:.1f} MB → {server.memory() / 1e6:.1f} MB in {minutes:g} minutes")
