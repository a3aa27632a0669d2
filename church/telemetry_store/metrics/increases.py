"""Turn the numbers of a scrape into samples: what a counter rose by since the scrape before, and what a gauge says.

A counter that fell was set to 0 in between, so all of its number is new. So is the number of a series that was not
there at the scrape before, unless its whole metric was not: then it may be old, and only later scrapes tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isfinite
from typing import Any, NamedTuple

from church.telemetry_store.metrics.exposition import Numbers, Series

COUNTED, FROM_DATABASE = "P", "D"
"""The source of a sample: counted by the processes of one host, or read from the database that all hosts share."""


class Sample(NamedTuple):
    """One number of a scrape. See the table ``samples`` for the meaning of ``value``, ``total`` and ``buckets``."""

    name: str
    kind: str
    source: str
    labels: str
    value: float
    total: float | None = None
    buckets: list[float] | None = None
    bounds: list[float] | None = None


class Increases:
    """What each series counted at the last scrape. ``dump`` and ``load`` carry it over a restart."""

    def __init__(self) -> None:
        self._begun = False
        self._metrics: set[str] = set()
        self._last: dict[tuple[str, str], list[float]] = {}
        self._bounds: dict[tuple[str, str], list[float]] = {}

    def take(self, numbers: Numbers, families: Iterable[str], shared: frozenset[str]) -> list[Sample]:
        """The samples of a scrape. ``families`` are the metrics it named, ``shared`` those of the database."""
        samples = []
        for series, values in numbers.items():
            source = FROM_DATABASE if series.name in shared else COUNTED
            sample = _gauge(series, values, source) if series.kind == "gauge" else self._rise(series, values, source)
            if sample is not None:
                samples.append(sample)
        self._begun = True
        self._metrics.update(families)
        return samples

    def _rise(self, series: Series, values: list[float], source: str) -> Sample | None:
        key = (series.name, series.labels)
        before = self._last.get(key)
        if before == values and self._bounds.get(key, series.bounds) == series.bounds:
            return None
        self._last[key] = values
        if series.bounds and self._bounds.setdefault(key, series.bounds) != series.bounds:
            self._bounds[key] = series.bounds
            return None
        if before is None:
            if not self._is_new(series.name, source):
                return None
            before = [0.0] * len(values)
        made = _histogram if series.kind == "histogram" else _counter
        return made(series, values, before, source)

    def _is_new(self, name: str, source: str) -> bool:
        """Whether a series that appears has begun at 0 since the last scrape.

        A process shows a metric from its first number on. One of the database is away while the database is down.
        """
        return self._begun and (source == COUNTED or name in self._metrics)

    def copy(self) -> Increases:
        """These as they are now, for the case that what is taken next is not kept."""
        same = Increases()
        same._begun, same._metrics = self._begun, set(self._metrics)
        same._last, same._bounds = dict(self._last), dict(self._bounds)
        return same

    def dump(self) -> dict[str, Any]:
        """What ``load`` needs, as JSON can hold it. A series at 0 is as good as one that is not there."""
        series = [[*key, self._bounds.get(key), values] for key, values in self._last.items() if any(values)]
        return {"metrics": sorted(self._metrics), "series": series}

    def load(self, dumped: dict[str, Any]) -> None:
        """Go on from what ``dump`` returned. Raises ValueError, TypeError and KeyError for anything else."""
        last, bounds_of = {}, {}
        for name, labels, bounds, values in dumped["series"]:
            last[str(name), str(labels)] = [float(value) for value in values]
            if bounds:
                bounds_of[str(name), str(labels)] = [float(bound) for bound in bounds]
        self._metrics, self._last, self._bounds = set(map(str, dumped["metrics"])), last, bounds_of
        self._begun = True


def _gauge(series: Series, values: list[float], source: str) -> Sample | None:
    value = values[0]
    return Sample(series.name, series.kind, source, series.labels, value) if isfinite(value) else None


def _counter(series: Series, values: list[float], before: list[float], source: str) -> Sample | None:
    now, then = values[0], before[0]
    risen = now - then if now >= then else now
    return Sample(series.name, series.kind, source, series.labels, risen) if risen > 0 and isfinite(risen) else None


def _histogram(series: Series, values: list[float], before: list[float], source: str) -> Sample | None:
    if len(before) != len(values) or any(now < then for now, then in zip(values[1:], before[1:], strict=True)):
        before = [0.0] * len(values)
    total = values[0] - before[0]
    risen = [now - then for now, then in zip(values[1:], before[1:], strict=True)]
    if risen[-1] <= 0 or not isfinite(total) or not isfinite(risen[-1]):
        return None
    return Sample(series.name, series.kind, source, series.labels, risen[-1], total, list(_apart(risen)), series.bounds)


def _apart(cumulative: list[float]) -> Iterator[float]:
    """The count in each bucket, from the counts up to each bound."""
    below = 0.0
    for count in cumulative:
        yield max(0.0, count - below)
        below = max(below, count)
