"""Benchmark the cost of telemetry: CPU per request with it, without it, and with the usual stack instead."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ops.bench.client import drive, pinned_to_one_core
from ops.bench.collector import collecting
from ops.bench.server import Server, serving

_ROUTES = {"page": "/pages/privacy", "json": "/health"}
_CONNECTIONS = 4


@contextmanager
def _variants() -> Iterator[dict[str, Server]]:
    with ExitStack() as stack:
        traces = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": stack.enter_context(collecting()),
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
        }
        usual = {"PROMETHEUS_MULTIPROC_DIR": stack.enter_context(tempfile.TemporaryDirectory()), **traces}
        yield {
            "off": stack.enter_context(serving(CHURCH_TELEMETRY="false")),
            "on": stack.enter_context(serving(**traces)),
            "usual": stack.enter_context(serving("ops.bench.usual:app", CHURCH_TELEMETRY="false", **usual)),
        }


def _cpu_per_request(server: Server, path: str, requests: int) -> float:
    before = server.cpu()
    with pinned_to_one_core():
        drive(server.port, path, requests, _CONNECTIONS)
    return (server.cpu() - before) / requests


def measure(rounds: int, requests: int) -> dict[str, float]:
    """Return CPU ratios to the site with telemetry off, each the median of the rounds."""
    ratios: dict[str, float] = {}
    with _variants() as servers:
        for route, path in _ROUTES.items():
            for server in servers.values():
                drive(server.port, path, requests // 4, _CONNECTIONS)
            costs = [{name: _cpu_per_request(s, path, requests) for name, s in servers.items()} for _ in range(rounds)]
            for name in servers:
                median = statistics.median(cost[name] for cost in costs)
                print(f"  {route:5} {name:6} {median * 1e6:7.1f} µs of CPU per request")
            for name, label in (("on", f"telemetry_{route}"), ("usual", f"usual_{route}")):
                ratios[label] = statistics.median(cost[name] / cost["off"] for cost in costs)
    return ratios
