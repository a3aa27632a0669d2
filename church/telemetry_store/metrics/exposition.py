"""Read the text of /metrics into series and their numbers.

The same thousand lines come every 15 seconds. What the beginning of a line means is worked out once and kept; after
that a line costs one look into a dictionary.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from math import inf, isnan, nan
from typing import NamedTuple

SHARED = "telemetry_shared_metric"
"""It has a series for each metric that comes from the database, and so is the same on every host."""
MOST_LINES = 200_000
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')
_ESCAPED = re.compile(r"\\(.)")
_KINDS = frozenset({"counter", "gauge", "histogram"})


@dataclass(eq=False, slots=True)
class Series:
    """One label set of a metric. ``labels`` is JSON text with sorted keys.

    ``bounds`` are those of a histogram's buckets without +Inf; ``whole`` tells that +Inf was read, which is the last.
    """

    name: str
    kind: str
    labels: str
    bounds: list[float] = field(default_factory=list)
    whole: bool = False

    @property
    def buckets(self) -> int:
        """How many buckets are known; none of a counter or gauge."""
        return len(self.bounds) + self.whole


class Family(NamedTuple):
    """A metric as the exposition describes it."""

    kind: str
    help: str


Numbers = dict[Series, list[float]]
"""Each series with its number; a histogram with its sum, then the count up to each bound, +Inf the last."""


class _Place(NamedTuple):
    """Where the number of a line belongs: the series and the position in its list."""

    series: Series
    position: int


class _OtherBucketsError(ValueError):
    """A histogram has other buckets than before: another version of the site answers."""


class Reader:
    """Reads one text after the other. Not for several threads at once."""

    def __init__(self) -> None:
        self.families: dict[str, Family] = {}
        self.shared: frozenset[str] = frozenset()
        self._help: dict[str, str] = {}
        self._places: dict[str, _Place | None] = {}
        self._series: dict[tuple[str, str], Series] = {}

    def read(self, text: str) -> Numbers:
        """The numbers of all series in ``text``. Raises ValueError if it is not in the format."""
        try:
            numbers = self._read(text)
        except _OtherBucketsError:
            self._places.clear()
            self._series.clear()
            numbers = self._read(text)
        self.shared = frozenset(json.loads(one.labels).get("metric", "") for one in numbers if one.name == SHARED)
        return numbers

    def list_series(self) -> list[Series]:
        """Every series that a text has named so far."""
        return list(self._series.values())

    def _read(self, text: str) -> Numbers:
        places, numbers = self._places, Numbers()
        for line in text.split("\n"):
            start, _, number = line.rpartition(" ")
            place = places[start] if start in places else self._learn(start, line)
            if place is None:
                continue
            series, position = place
            values = numbers.get(series)
            if values is None:
                values = numbers[series] = [0.0, *[nan] * series.buckets]
            if position >= len(values):
                values.append(nan)
            values[position] = float(number)
        if any(
            isnan(sum(values)) or not series.whole for series, values in numbers.items() if series.kind == "histogram"
        ):
            raise _OtherBucketsError("a bucket is missing")
        return numbers

    def _learn(self, start: str, line: str) -> _Place | None:
        """Work out where the number of a line belongs that begins with ``start``; None for comments and the like."""
        if line.startswith("#"):
            self._learn_family(line)
            return None
        if not start:
            return None
        if len(self._places) >= MOST_LINES:
            raise ValueError("too many series")
        place = self._places[start] = self._place(start)
        return place

    def _learn_family(self, line: str) -> None:
        _, what, name, text = (*line.split(" ", 3), "", "", "")[:4]
        if what == "HELP":
            self._help[name] = _unescape(text)
        elif what == "TYPE" and text in _KINDS:
            self.families[name] = Family(text, self._help.get(name, ""))

    def _place(self, start: str) -> _Place | None:
        name, _, inside = start.partition("{")
        labels = {key: _unescape(value) for key, value in _LABEL.findall(inside)}
        family = self.families.get(name)
        if family is not None:
            return _Place(self._series_of(name, family.kind, labels), 0)
        base, _, part = name.rpartition("_")
        family = self.families.get(base)
        if family is None or family.kind != "histogram" or part not in {"bucket", "sum"}:
            return None
        bound = labels.pop("le", "")
        series = self._series_of(base, "histogram", labels)
        return _Place(series, _add_bucket(series, float(bound)) if part == "bucket" else 0)

    def _series_of(self, name: str, kind: str, labels: dict[str, str]) -> Series:
        text = json.dumps(labels, sort_keys=True, separators=(",", ":"))
        series = self._series.get((name, text))
        if series is None:
            series = self._series[name, text] = Series(name, kind, text)
        return series


def _add_bucket(series: Series, bound: float) -> int:
    """Add a bucket to a histogram that is read for the first time; returns its position."""
    if series.whole or (series.bounds and bound <= series.bounds[-1]):
        raise _OtherBucketsError(f"an unexpected bucket of {series.name}")
    if bound == inf:
        series.whole = True
    else:
        series.bounds.append(bound)
    return series.buckets


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], text) if "\\" in text else text
