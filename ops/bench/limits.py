"""Benchmark rate limits: CPU per request of a limited page, with its limits and without, and its calls to the store."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from church.store import StoreClient
from ops.bench.client import drive, pinned_to_one_core
from ops.bench.server import Server, serving

_PATH = "/pages/privacy"
_CONNECTIONS = 4


@contextmanager
def _variants() -> Iterator[dict[str, Server]]:
    with ExitStack() as stack:
        yield {
            "none": stack.enter_context(serving("ops.bench.unlimited:app")),
            "limits": stack.enter_context(serving()),
        }


def _cpu_per_request(server: Server, requests: int) -> float:
    before = server.cpu()
    with pinned_to_one_core():
        drive(server.port, _PATH, requests, _CONNECTIONS)
    return (server.cpu() - before) / requests


def _scripts(server: Server) -> int:
    """Count the scripts that the store has run."""
    statistics_of_commands = StoreClient(server.settings).client.info("commandstats")
    return int(statistics_of_commands.get("cmdstat_evalsha", {}).get("calls", 0))


def measure(rounds: int, requests: int) -> dict[str, float]:
    """Return the CPU ratio to the site without limits, the median of the rounds, and calls to the store per request."""
    with _variants() as servers:
        for server in servers.values():
            drive(server.port, _PATH, requests // 4, _CONNECTIONS)
        before = _scripts(servers["limits"])
        costs = [{name: _cpu_per_request(one, requests) for name, one in servers.items()} for _ in range(rounds)]
        calls = (_scripts(servers["limits"]) - before) / (rounds * requests)
    for name in costs[0]:
        print(f"  {name:6} {statistics.median(cost[name] for cost in costs) * 1e6:7.1f} µs of CPU per request")
    ratio = statistics.median(cost["limits"] / cost["none"] for cost in costs)
    return {"limits_page": ratio, "limits_store_calls": calls}
