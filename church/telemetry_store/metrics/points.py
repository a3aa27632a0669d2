"""From sums of samples by step, host and labels to the points of a chart.

What the processes of a host counted is added up over hosts. What comes from the database is the same on each, so there
the host with the most counts. A step in which nothing was scraped has no value; a counter that did not rise has 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from church.telemetry_store.metrics.increases import FROM_DATABASE
from church.telemetry_store.metrics.quantile import find_quantile

FUNCTIONS: Mapping[str, frozenset[str]] = {
    "rate": frozenset({"counter", "histogram"}),
    "increase": frozenset({"counter", "histogram"}),
    "count": frozenset({"histogram"}),
    "mean": frozenset({"histogram"}),
    "quantile": frozenset({"histogram"}),
    "value": frozenset({"gauge"}),
    "average": frozenset({"gauge"}),
    "highest": frozenset({"gauge"}),
}
"""What can be asked, and of which kinds of metrics."""
_SUMMED = frozenset({"rate", "increase", "count"})  # 0 where there is no sample
MOST_GROUPS = 100

Group = tuple[str, ...]


class Question(NamedTuple):
    """A metric, a function of it, the labels to keep apart, and the steps, numbered since 1970, of ``width`` µs."""

    name: str
    fn: str
    q: float
    by: tuple[str, ...]
    first: int
    last: int
    width: int


class Part(NamedTuple):
    """Sums of the samples of a metric with the same labels in a step of a host.

    ``area`` is the sum of values times the seconds that each stands for, ``seconds`` the sum of these; ``buckets`` are
    the counts by upper bound, +Inf the last.
    """

    step: int
    host: str
    group: Group
    kind: str
    source: str
    value: float
    total: float
    area: float
    seconds: float
    highest: float
    buckets: Mapping[float, float]


class Scrapes:
    """How long each host gave its metrics in each step, and the time that the increases in it took."""

    def __init__(self, parts: Iterable[Part], covered: Iterable[Part]) -> None:
        self.up = {(part.step, part.host): part.area for part in parts if part.area > 0}
        self.covered = {(part.step, part.host): part.value for part in covered if part.value > 0}
        self.steps_up = {step for step, _ in self.up}
        self.steps_covered = {step for step, _ in self.covered}


def find_points(question: Question, parts: Iterable[Part], scrapes: Scrapes) -> list[dict[str, Any]]:
    """The answer: ``{labels, points}`` for each group, most first."""
    groups: dict[Group, dict[int, list[Part]]] = {}
    for part in parts:
        groups.setdefault(part.group, {}).setdefault(part.step, []).append(part)
    if not groups and not question.by and question.fn in _SUMMED and scrapes.steps_up:
        groups[()] = {}  # it never rose
    known = scrapes.steps_covered if question.fn == "rate" else scrapes.steps_up
    answer = []
    for group, steps in sorted(groups.items(), key=lambda item: -_weight(item[1])):
        points: list[tuple[int, float | None]] = []
        for step in range(question.first, question.last + 1):
            found = _one_of_database(steps[step]) if step in steps else []
            nothing = 0.0 if question.fn in _SUMMED and step in known else None
            value = _compute(question, found, scrapes) if found else nothing
            points.append((step * question.width, value))
        answer.append({"labels": dict(zip(question.by, group, strict=True)), "points": points})
    return answer


def _weight(steps: Mapping[int, list[Part]]) -> float:
    """How large a group is beside the others."""
    return sum(part.value if part.kind != "gauge" else part.area for parts in steps.values() for part in parts)


def _one_of_database(parts: list[Part]) -> list[Part]:
    if len(parts) == 1 or parts[0].source != FROM_DATABASE:
        return parts
    return [max(parts, key=lambda part: part.value)]


def _compute(question: Question, parts: list[Part], scrapes: Scrapes) -> float | None:
    if question.fn == "rate":
        return _sum_over_hosts((part.value, scrapes.covered.get((part.step, part.host))) for part in parts)
    if question.fn == "value":
        return _sum_over_hosts((part.area, scrapes.up.get((part.step, part.host))) for part in parts)
    if question.fn == "quantile":
        return find_quantile(question.q, _add(part.buckets for part in parts))
    return _WITHOUT_TIME[question.fn](parts)


def _increase(parts: list[Part]) -> float:
    return sum(part.value for part in parts)


def _mean(parts: list[Part]) -> float | None:
    count = sum(part.value for part in parts)
    return sum(part.total for part in parts) / count if count else None


_WITHOUT_TIME: Mapping[str, Callable[[list[Part]], float | None]] = {
    "increase": _increase,
    "count": _increase,
    "mean": _mean,
    "average": lambda parts: sum(part.area for part in parts) / sum(part.seconds for part in parts),
    "highest": lambda parts: max(part.highest for part in parts),
}


def _sum_over_hosts(shares: Iterable[tuple[float, float | None]]) -> float | None:
    known = [amount / seconds for amount, seconds in shares if seconds]
    return sum(known) if known else None


def _add(counts: Iterable[Mapping[float, float]]) -> dict[float, float]:
    sums: dict[float, float] = {}
    for one in counts:
        for bound, count in one.items():
            sums[bound] = sums.get(bound, 0.0) + count
    return sums
