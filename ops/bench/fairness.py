"""Benchmark fairness: are many connections on one worker served equally fast?"""

from __future__ import annotations

import statistics

from ops.bench.client import drive, percentile
from ops.bench.server import serving


def measure(rounds: int, requests: int) -> float:
    """Return p99 over p50 for 16 connections on one worker, the median of the rounds."""
    ratios = []
    with serving() as server:
        drive(server.port, "/pages/privacy", requests // 2, 16)
        for _ in range(rounds):
            latencies = drive(server.port, "/pages/privacy", requests, 16)
            middle, slow = percentile(latencies, 0.5), percentile(latencies, 0.99)
            print(f"  16 connections: p50 {middle * 1e3:.1f} ms, p99 {slow * 1e3:.1f} ms")
            ratios.append(slow / middle)
    return statistics.median(ratios)
