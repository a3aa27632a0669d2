"""Benchmark a light process: memory and CPU of the whole site while nobody comes, and the cost of a start.

The test till is not counted: it runs only in development.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ops.bench.server import ROOT
from ops.bench.whole_site import WholeSite

_SETTLED_AFTER = 5.0  # seconds from the first page to the end of a start: the worker process begins later
_IDLE_SECONDS = 60.0
_VISITED = ("/", "/pages/", "/pages/privacy", "/feed.xml", "/stripe/pricing", "/video/", "/auth/login", "/health")


@dataclass(frozen=True)
class _Figures:
    """Figures of one checkout: a start until its first page, memory before and after visits, CPU a second."""

    start_seconds: float
    start_cpu_seconds: float
    idle_pss_mib: float
    visited_pss_mib: float
    idle_cpu_ms: float


def measure(rounds: int, before: Path | None = None) -> dict[str, float]:
    """Return the medians of ``rounds`` starts of this release; print them beside those of the checkout ``before``."""
    roots = {"site": ROOT, **({"before": before} if before is not None else {})}
    figures: dict[str, list[_Figures]] = {name: [] for name in roots}
    for _ in range(rounds):
        for name, root in roots.items():
            figures[name].append(_run(root))
    result: dict[str, float] = {}
    for name, measured in figures.items():
        for field in _Figures.__dataclass_fields__:
            value = statistics.median(getattr(one, field) for one in measured)
            print(f"  {name:6} {field:17} {value:7.2f}")
            result[field if name == "site" else f"{field}_{name}"] = value
    return result


def _run(root: Path) -> _Figures:
    """Start a site twice, the second time to measure it. It has an admin: it need not make a link for the first one."""
    with TemporaryDirectory(prefix="church-bench-") as folder:
        site = WholeSite(Path(folder), root, {"WEB_CONCURRENCY": "2"})
        try:
            site.start()
            site.add_admin()
            site.settle()
            site.stop()
            start_seconds = site.start()
            time.sleep(_SETTLED_AFTER)
            start_cpu_seconds = site.cpu()
            site.settle()
            idle_pss_mib = sum(site.memory().values())
            idle = _cpu_while_idle(site)
            for path in _VISITED * 8:
                site.get(path)
            return _Figures(start_seconds, start_cpu_seconds, idle_pss_mib, sum(site.memory().values()), idle)
        finally:
            site.stop()


def _cpu_while_idle(site: WholeSite) -> float:
    """Milliseconds of CPU a second."""
    before, began = site.cpu(), time.monotonic()
    time.sleep(_IDLE_SECONDS)
    return (site.cpu() - before) / (time.monotonic() - began) * 1e3


if __name__ == "__main__":
    measure(1, Path(sys.argv[1]) if len(sys.argv) > 1 else None)
