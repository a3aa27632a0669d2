"""Metrics of state, which a scrape reads instead of counting: rows, servers, disks and processes.

State is never counted up and down: such a count drifts with every crash. ``church.scrape_values`` registers a callable
for each metric. Values from the database are read once in a few seconds for all workers of the host and cached in a
file beside the slots.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from church.observability.metrics import definitions, worker_files

log = logging.getLogger("church.telemetry")
Readings = Iterable[tuple[Sequence[str], float | Sequence[float]]]

_FRESH_SECONDS = 4.0
_MOST_AGE = 60.0  # for a reader that asks for less
_FAMILIES: dict[str, Any] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
    "histogram": HistogramMetricFamily,
}


@dataclass(frozen=True)
class StateMetric:
    """A metric that is read at the scrape; ``read`` returns label values and a number for each series.

    For a histogram the number is a list: the counts up to each of ``bounds``, the count of all, and the sum of all.
    ``shared`` metrics come from the database: they are read once for all workers, and left out while it is down.
    """

    name: str
    help: str
    read: Callable[[], Readings]
    labels: tuple[str, ...] = ()
    kind: str = "gauge"
    shared: bool = False
    bounds: tuple[float, ...] = ()


class StateMetrics:
    """The state metrics of one app."""

    def __init__(self) -> None:
        self.metrics: list[StateMetric] = []

    def collect(self, directory: Path, most_age: float = 0.0) -> list[Metric]:
        """Read all metrics; one that fails is left out and counted. Shared ones may be ``most_age`` seconds old."""
        shared = self._shared(directory, min(max(most_age, _FRESH_SECONDS), _MOST_AGE))
        families = []
        for metric in self.metrics:
            readings = shared.get(metric.name) if metric.shared else _read(metric)
            if readings is not None and (family := _build_family(metric, readings)) is not None:
                families.append(family)
        families.extend(read_processes(directory))
        return families

    def name_shared(self) -> Iterator[tuple[tuple[str, ...], float]]:
        """A reading for each shared metric, by the name that the exposition gives it."""
        for metric in self.metrics:
            if metric.shared:
                yield (f"{metric.name}_total" if metric.kind == "counter" else metric.name,), 1.0

    def _shared(self, directory: Path, most_age: float) -> dict[str, list[Any]]:
        """The metrics from the database: from the host's file if it is fresh, else read and written there."""
        if not any(metric.shared for metric in self.metrics):
            return {}
        path = directory / "state.json"
        if (cached := _load_cache(path, most_age)) is not None:
            return cached
        metrics = {m.name: readings for m in self.metrics if m.shared and (readings := _read(m)) is not None}
        with suppress(OSError):  # a full disk: then each worker reads for itself
            _save_cache(path, metrics)
        return metrics


def _read(metric: StateMetric) -> list[Any] | None:
    try:
        return [[list(labels), _plain(value)] for labels, value in metric.read()]
    except Exception as error:  # noqa: BLE001 - a database down, a mount gone: the rest goes on
        _leave_out(metric, error)
        return None


def _build_family(metric: StateMetric, readings: Iterable[Any]) -> Metric | None:
    """The metric with its readings; None if they do not fit: another version may have cached other buckets."""
    try:
        return _family(metric, readings)
    except (ValueError, TypeError) as error:
        _leave_out(metric, error)
        return None


def _leave_out(metric: StateMetric, error: Exception) -> None:
    definitions.telemetry_errors.labels("scrape").inc()
    facts = {"event": "telemetry.state_unreadable", "metric": metric.name, "reason": type(error).__name__}
    log.debug("state unreadable", extra=facts)


def _plain(value: float | Sequence[float]) -> float | list[float]:
    """A number, or the list of a histogram, as JSON can hold it."""
    return [float(number) for number in value] if isinstance(value, list | tuple) else float(value)  # type: ignore[arg-type]


def _load_cache(path: Path, most_age: float) -> dict[str, list[Any]] | None:
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        cached: dict[str, Any] = json.loads(path.read_bytes())
        if 0 <= time.time() - cached["at"] < most_age:
            metrics: dict[str, Any] = cached["metrics"]
            return {n: [[list(labels), _plain(value)] for labels, value in r] for n, r in metrics.items()}
    return None


def _save_cache(path: Path, metrics: dict[str, list[Any]]) -> None:
    fresh = path.with_suffix(f".{threading.get_native_id()}")  # two scrapes of one worker are two threads
    fresh.write_text(json.dumps({"at": time.time(), "metrics": metrics}))
    os.replace(fresh, path)


def _family(metric: StateMetric, readings: Iterable[Any]) -> Metric:
    family: Any = _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
    for labels, value in readings:
        names = [str(label) for label in labels]
        if metric.kind == "histogram":
            *counts, total = value
            bounds = [*map(floatToGoString, metric.bounds), "+Inf"]
            family.add_metric(names, list(zip(bounds, counts, strict=True)), total)
        else:
            family.add_metric(names, value)
    built: Metric = family
    return built


_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def read_processes(directory: Path) -> Iterator[Metric]:
    """The processes of this host that count, a series for each slot; empty where there is no /proc.

    A process of another container is counted as a worker, but has no series: its pid means another process here.
    """
    workers = GaugeMetricFamily("gunicorn_workers", "Running gunicorn workers of this host.")
    cpu = CounterMetricFamily("process_cpu_seconds", "CPU time used by the process in the slot.", labels=["slot"])
    memory = GaugeMetricFamily(
        "process_resident_memory_bytes", "Memory used by the process in the slot.", labels=["slot"]
    )
    files = GaugeMetricFamily("process_open_fds", "Open file descriptors of the process in the slot.", labels=["slot"])
    start = GaugeMetricFamily("process_start_time_seconds", "Start time of the process in the slot.", labels=["slot"])
    living = worker_files.list_live_slots(directory)
    workers.add_metric([], sum(owner.get("role") == "web" for owner in living.values()))
    here = worker_files.pid_namespace()
    for number, owner in sorted(living.items()):
        if owner.get("namespace") != here:
            continue
        with suppress(OSError, KeyError, ValueError, IndexError):
            facts = _process_facts(Path("/proc") / str(owner["pid"]))
            cpu.add_metric([str(number)], facts[0])
            for family, value in zip((memory, files, start), facts[1:], strict=True):
                family.add_metric([str(number)], value)
    return iter((workers, cpu, memory, files, start))


def _process_facts(proc: Path) -> tuple[float, float, float, float]:
    """CPU seconds, resident bytes, open files and start time, as in proc(5)."""
    fields = (proc / "stat").read_text().rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / _TICKS
    boot = next(
        float(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime ")
    )
    return cpu, int(fields[21]) * _PAGE, len(os.listdir(proc / "fd")), boot + int(fields[19]) / _TICKS
