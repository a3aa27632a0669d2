"""Sum the slot files of this host and write them as text, for a scrape.

The stock collector parses every key of every file and builds every label string at each scrape (130 ms of CPU at
40 routes, 200 videos and 4 slots). Keys never change once written. So here each file's layout is parsed once, and a
scrape only reads the numbers, adds them up and joins them to prepared lines.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.utils import floatToGoString

from church.lib import threads
from church.observability.metrics import client_internals, definitions, exemplars, worker_files
from church.observability.metrics.exemplars import Exemplar, Place

_WITH_EXEMPLARS = "http_request_duration_seconds"


@dataclass(eq=False)
class Series:
    """One line of the exposition: its text up to the value; for a histogram also its bound and the count's text."""

    text: str
    group: tuple[str, ...]
    bound: float | None = None
    count_text: str = ""


@dataclass(eq=False)
class Family:
    """One metric with the series seen so far, in the order of the exposition."""

    name: str
    kind: str
    help: str
    groups: dict[tuple[str, ...], list[Series]] = field(default_factory=dict)
    ordered: bool = True

    def add(self, series: Series) -> None:
        """Add a new series; ``settle`` orders the lines before they are next shown."""
        self.groups.setdefault(series.group, []).append(series)
        self.ordered = False

    def settle(self) -> None:
        """Order new series: groups by their labels, buckets by their bound, then the sum."""
        if not self.ordered:
            for group in self.groups.values():
                group.sort(key=lambda s: (s.bound is None, s.bound or 0.0, s.text))
            self.groups = dict(sorted(self.groups.items()))
            self.ordered = True


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _line(name: str, labels: dict[str, str]) -> str:
    inside = ",".join(f'{key}="{_escape(value)}"' for key, value in sorted(labels.items()))
    return f"{name}{{{inside}}} " if inside else f"{name} "


def _bound(le: str) -> float:
    try:
        return float(le)
    except ValueError:
        raise client_internals.DamagedFileError("a bucket without a bound") from None


class _Layout:
    """Where each series is in one file.

    The file stays open as long as its layout is cached, so that a new file of that name cannot have its inode.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.close = weakref.finalize(self, os.close, self._fd)
        self._inode = os.fstat(self._fd).st_ino
        self.used = 0
        self.places: list[tuple[Series, int]] = []

    def is_of(self, path: Path) -> bool:
        """Whether ``path`` is still this file. Raises FileNotFoundError if it is gone."""
        return os.stat(path).st_ino == self._inode

    def read(self) -> bytes:
        """The whole content of the file."""
        return os.pread(self._fd, os.fstat(self._fd).st_size, 0)


class Exposition:
    """The merged slot files of ``directory``; kept between scrapes to reuse the layouts."""

    def __init__(self, directory: Path, registry: CollectorRegistry = definitions.CATALOGUE) -> None:
        self.directory = directory
        self._declared = client_internals.declared_families(registry)
        self._families: dict[str, Family] = {}
        self._series: dict[bytes, Series | None] = {}
        self._by_text: dict[str, Series] = {}
        self._layouts: dict[str, _Layout] = {}
        self._lock = threads.allocate_lock()
        self._reported: set[str] = set()  # damage of a live slot is reported once, not at each scrape
        self.damage: list[str] = []  # for the endpoint to log: a real thread must not

    def text(self, openmetrics: bool, names: Collection[str] | None = None) -> str:
        """The text of all families, or of those with a sample in ``names``, without OpenMetrics' closing line."""
        with self._lock:
            totals = self._totals()
            examples = exemplars.read(self.directory) if openmetrics else {}
            return "".join(self._render(family, totals, openmetrics, examples) for family in self._chosen(names))

    def _chosen(self, names: Collection[str] | None) -> Iterable[Family]:
        for name in sorted(self._families):
            shown = {name, f"{name}_total", f"{name}_bucket", f"{name}_sum", f"{name}_count"}
            if names is None or shown & set(names):
                yield self._families[name]

    def _totals(self) -> dict[Series, float]:
        live = worker_files.list_live_slots(self.directory)
        totals: dict[Series, float] = {}
        for path in sorted(self.directory.glob("*_slot*.db")):
            digits = path.stem.rpartition("_slot")[2]
            number = int(digits) if digits.isdecimal() else -1
            if path.name.startswith("gauge_live") and number not in live:
                continue
            try:
                self._add(path, totals)
                self._reported.discard(path.name)
            except FileNotFoundError:
                self._forget(path)
            except client_internals.DamagedFileError as error:
                self._quarantine(path, number in live, error)
        return totals

    def _quarantine(self, path: Path, in_use: bool, error: Exception) -> None:
        """Leave a damaged file out; that of a dead slot is set aside now, that of a live one when its process ends."""
        self._forget(path)
        if path.name not in self._reported:
            self._reported.add(path.name)
            definitions.telemetry_corrupt_files.inc()
            self.damage.append(f"{path.name}: {error}")
        if not in_use:
            self._reported.discard(path.name)
            worker_files.set_aside(path)

    def _forget(self, path: Path) -> None:
        layout = self._layouts.pop(path.name, None)
        if layout is not None:
            layout.close()

    def _add(self, path: Path, totals: dict[Series, float]) -> None:
        layout = self._layouts.get(path.name)
        if layout is None or not layout.is_of(path):
            self._forget(path)
            layout = self._layouts[path.name] = _Layout(path)
        data = layout.read()
        used = client_internals.used_bytes(data)
        if used > len(data):
            raise client_internals.DamagedFileError(f"claims {used} bytes of {len(data)}")
        if used != layout.used:
            self._learn(layout, data)
        doubles = memoryview(data[: len(data) // 8 * 8]).cast("d")
        get = totals.get
        for series, index in layout.places:
            totals[series] = get(series, 0.0) + doubles[index]

    def _learn(self, layout: _Layout, data: bytes) -> None:
        layout.places = [
            (series, offset // 8)
            for key, offset in client_internals.read_entries(data)
            if (series := self._series_of(key)) is not None
        ]
        layout.used = client_internals.used_bytes(data)

    def _series_of(self, key: bytes) -> Series | None:
        if key not in self._series:
            self._series[key] = self._new_series(key)
        return self._series[key]

    def _new_series(self, key: bytes) -> Series | None:
        """The series of a key, or None for a metric that only an older version of the site counted.

        A key holds the help text: one that an older version wrote with another help is the same series.
        """
        name, sample, labels = client_internals.parse_key(key)
        if name not in self._declared:
            return None
        kind, documentation, declared = self._declared[name]
        if set(labels) - {"le"} != declared:
            return None
        bound = _bound(labels["le"]) if sample.endswith("_bucket") and "le" in labels else None
        group = tuple(labels[label] for label in sorted(declared))
        text = _line(sample, labels)
        if text in self._by_text:
            return self._by_text[text]
        series = self._by_text[text] = Series(text, group, bound, _line(f"{name}_count", labels))
        self._families.setdefault(name, Family(name, kind, documentation)).add(series)
        return series

    def _render(
        self, family: Family, totals: dict[Series, float], openmetrics: bool, examples: dict[Place, Exemplar]
    ) -> str:
        family.settle()
        title = f"{family.name}_total" if family.kind == "counter" and not openmetrics else family.name
        text = _escape(family.help) if openmetrics else family.help.replace("\\", r"\\").replace("\n", r"\n")
        lines = [f"# HELP {title} {text}\n# TYPE {title} {family.kind}\n"]
        timed = examples if family.name == _WITH_EXEMPLARS else {}
        for group in family.groups.values():
            if family.kind == "histogram":
                _histogram_lines(group, totals, lines.append, timed)
            else:
                _plain_lines(group, totals, lines.append)
        return "".join(lines) if len(lines) > 1 else ""


def _plain_lines(group: list[Series], totals: dict[Series, float], out: Callable[[str], Any]) -> None:
    for series in group:
        if series in totals:
            out(f"{series.text}{floatToGoString(totals[series])}\n")


def _histogram_lines(
    group: list[Series], totals: dict[Series, float], out: Callable[[str], Any], examples: dict[Place, Exemplar]
) -> None:
    """Write a histogram: cumulative buckets, where files have separate ones, and a count equal to the last bucket."""
    count = 0.0
    for series in group:
        if series not in totals:
            continue
        if series.bound is None:
            out(f"{series.count_text}{floatToGoString(count)}\n")
            out(f"{series.text}{floatToGoString(totals[series])}\n")
        else:
            count += totals[series]
            out(f"{series.text}{floatToGoString(count)}{examples.get((series.group, series.bound), '')}\n")
