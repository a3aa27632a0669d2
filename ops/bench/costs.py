"""Benchmark the cost of telemetry: CPU per request with it, without it, and with the usual stack instead.

A page is measured three times: kept by the worker as for a stranger; made anew from kept parts, as for a browser with a
session; and one that is never kept, made by its template.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ops.bench.client import HEADERS, browser_headers, drive, pinned_to_one_core
from ops.bench.collector import collecting
from ops.bench.server import Server, serving

_WITH_SESSION = browser_headers(cookie="church=ended")  # a page for a session is made anew, even if it has ended
_ROUTES = {
    "kept": ("/pages/privacy", HEADERS),
    "page": ("/pages/privacy", _WITH_SESSION),
    "unkept": ("/stripe/pricing", HEADERS),
    "json": ("/health", _WITH_SESSION),
}
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


def _cpu_per_request(server: Server, route: str, requests: int) -> float:
    path, headers = _ROUTES[route]
    before = server.cpu()
    with pinned_to_one_core():
        drive(server.port, path, requests, _CONNECTIONS, headers)
    return (server.cpu() - before) / requests


def measure(rounds: int, requests: int) -> dict[str, float]:
    """Return what telemetry costs, each the median of the rounds.

    ``telemetry_…_us`` are microseconds of CPU a request, the others ratios to the site with telemetry off.
    """
    results: dict[str, float] = {}
    with _variants() as servers:
        for route in _ROUTES:
            for server in servers.values():
                _cpu_per_request(server, route, requests // 4)
            costs = [{name: _cpu_per_request(s, route, requests) for name, s in servers.items()} for _ in range(rounds)]
            for name in servers:
                median = statistics.median(cost[name] for cost in costs)
                print(f"  {route:6} {name:6} {median * 1e6:7.1f} µs of CPU per request")
            results[f"telemetry_{route}_us"] = statistics.median(cost["on"] - cost["off"] for cost in costs) * 1e6
            for name, label in (("on", f"telemetry_{route}"), ("usual", f"usual_{route}")):
                results[label] = statistics.median(cost[name] / cost["off"] for cost in costs)
    return results
