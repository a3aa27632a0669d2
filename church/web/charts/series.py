"""Charts of values over time: lines, areas, stacked areas and bars, with gaps where there is no value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from church.web.charts.axes import time_axis, value_axis
from church.web.charts.shapes import HEIGHT, MOST_SERIES, Bar, Chart, Line, Mark, TableRow, x_of, y_of
from church.web.charts.units import Unit

_NONE = "\N{EN DASH}"
Points = Sequence[tuple[int, float | None]]
"""Times in microseconds since 1970, rising, each with a value or None."""


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    name: str
    points: Points


@dataclass(frozen=True)
class Span:
    """The time that a chart shows, in microseconds since 1970; ``step`` is the distance of its points, in seconds."""

    from_us: int
    to_us: int
    step: int

    @property
    def start(self) -> datetime:
        """The beginning, in UTC."""
        return datetime.fromtimestamp(self.from_us / 1e6, UTC)

    @property
    def end(self) -> datetime:
        """The end, in UTC."""
        return datetime.fromtimestamp(self.to_us / 1e6, UTC)

    def x(self, at_us: int) -> float:
        """Return the position of a time, in percent."""
        return x_of(at_us, self.from_us, self.to_us)


def draw_lines(
    series: Sequence[Series], span: Span, unit: Unit, marks: Iterable[Mark] = (), *, area: bool = False
) -> Chart:
    """Draw a line for each series; with ``area``, filled down to 0."""
    shown = series[:MOST_SERIES]
    values = [value for one in shown for _, value in one.points if value is not None]
    low, high, rows = value_axis(max(values, default=0.0), min(values, default=0.0), unit)
    lines = [
        _line(one.name, look, _runs(one.points, span, low, high), y_of(0.0, low, high) if area else None)
        for look, one in enumerate(shown, 1)
    ]
    chart = Chart(rows, time_axis(span.start, span.end), lines=lines if values else [])
    return _finish(chart, series, span, unit, marks)


def draw_stacked(series: Sequence[Series], span: Span, unit: Unit, marks: Iterable[Mark] = ()) -> Chart:
    """Draw each series as an area on top of those before it; no value is 0 here."""
    shown = series[:MOST_SERIES]
    sums: dict[int, float] = dict.fromkeys(sorted({at for one in shown for at, _ in one.points}), 0.0)
    layers: list[tuple[Series, list[tuple[int, float]], list[tuple[int, float]]]] = []
    for one in shown:
        below, own = list(sums.items()), dict(one.points)
        for at in sums:
            sums[at] += own.get(at) or 0.0
        layers.append((one, below, list(sums.items())))
    low, high, rows = value_axis(max(sums.values(), default=0.0), 0.0, unit)

    def path(points: Iterable[tuple[int, float]]) -> str:
        return " ".join(f"{span.x(at) * 10:g} {y_of(value, low, high):g}" for at, value in points)

    lines = [
        Line(one.name, look, f"M{path(above)}", f"M{path(above)} {path(reversed(below))}Z")
        for look, (one, below, above) in enumerate(layers, 1)
    ]
    chart = Chart(rows, time_axis(span.start, span.end), lines=lines if sums else [])
    return _finish(chart, series, span, unit, marks)


def draw_bars(series: Sequence[Series], span: Span, unit: Unit, marks: Iterable[Mark] = ()) -> Chart:
    """Draw a bar for each step, from the time of its point on, with the series as its parts from below."""
    shown = series[:MOST_SERIES]
    sums: dict[int, float] = {}
    parts: list[tuple[int, int, str, float, float]] = []
    for look, one in enumerate(shown, 1):
        for at, value in one.points:
            if value:
                parts.append((look, at, one.name, sums.get(at, 0.0), value))
                sums[at] = sums.get(at, 0.0) + value
    low, high, rows = value_axis(max(sums.values(), default=0.0), 0.0, unit)
    width = min(100.0, 100.0 * span.step * 1e6 / ((span.to_us - span.from_us) or 1))
    bars = []
    for look, at, name, below, value in parts:
        y, words = y_of(below + value, low, high), f"{_moment(at)}: {unit.write(value)} {name}"
        height = round(y_of(below, low, high) - y, 1)
        bars.append(Bar(span.x(at), y, round(width * 0.86, 2), height, f"series-{look}", words))
    chart = Chart(rows, time_axis(span.start, span.end), bars=bars)
    return _finish(chart, series, span, unit, marks)


def _finish(chart: Chart, series: Sequence[Series], span: Span, unit: Unit, marks: Iterable[Mark]) -> Chart:
    """Add the marks, the table and the time that the chart shows."""
    shown = series[:MOST_SERIES]
    by_time: dict[int, list[str]] = {}
    for column, one in enumerate(shown):
        for at, value in one.points:
            row = by_time.setdefault(at, [_NONE] * len(shown))
            row[column] = _NONE if value is None else unit.write(value)
    table = [TableRow(datetime.fromtimestamp(at / 1e6, UTC), tuple(row)) for at, row in sorted(by_time.items())]
    return replace(
        chart,
        marks=list(marks),
        names=tuple(one.name for one in shown),
        table=table,
        start=span.start,
        end=span.end,
        left_out=len(series) - len(shown),
    )


def _moment(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M:%S}"


def _runs(points: Points, span: Span, low: float, high: float) -> list[list[tuple[float, float]]]:
    """Split a line where a value is missing: positions of each unbroken part, 1000 wide."""
    runs: list[list[tuple[float, float]]] = []
    last: int | None = None
    for at, value in points:
        if value is None:
            last = None
            continue
        if last is None or at - last > span.step * 1.5e6:
            runs.append([])
        runs[-1].append((span.x(at) * 10, y_of(value, low, high)))
        last = at
    return runs


def _line(name: str, look: int, runs: list[list[tuple[float, float]]], floor: float | None) -> Line:
    paths, areas = [], []
    for run in runs:
        path = " ".join(f"{x:g} {y:g}" for x, y in run)
        paths.append(f"M{path}" if len(run) > 1 else f"M{path}h0")  # a lone value is a dot
        if floor is not None and len(run) > 1:
            areas.append(f"M{run[0][0]:g} {floor:g} {path} {run[-1][0]:g} {floor:g}Z")
    return Line(name, look, "".join(paths), "".join(areas))


@dataclass(frozen=True)
class Spark:
    """A small line without axes, in a box 1000 wide and 100 high."""

    path: str
    area: str


def draw_spark(points: Points, span: Span) -> Spark:
    """Draw a small line from 0 to its own highest value."""
    values = [value for _, value in points if value is not None]
    high = max(values, default=0.0) or 1.0
    runs = _runs(points, span, 0.0, high)
    scaled = [[(x, round(y / HEIGHT * 100, 1)) for x, y in run] for run in runs]
    line = _line("", 1, scaled, 100.0)
    return Spark(line.path, line.area)
