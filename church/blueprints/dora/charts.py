"""Compute positions and texts of the charts on ``/dora``, in SVG units. Template and CSS draw them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from church.services.dora import DeploymentView, WeekView, Window

WIDTH, HEIGHT = 720.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 36.0, 56.0, 12.0, 30.0
_MOST_DATES = 6
_A_YEAR = 365  # days
_FLOOR = 60.0  # seconds: a lead time below a minute is shown as one
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_STEPS = (60.0, 600.0, 3600.0, 6 * 3600.0, 86400.0, 7 * 86400.0, 30 * 86400.0, 365 * 86400.0)


@dataclass(frozen=True)
class Tick:
    """A line of an axis with its label."""

    at: float
    words: str


@dataclass(frozen=True)
class Bar:
    """One part of a week's bar."""

    x: float
    y: float
    width: float
    height: float
    part: str
    words: str


@dataclass(frozen=True)
class Point:
    """A deployment, or a week's median."""

    x: float
    y: float
    kind: str
    words: str
    broken: bool = False


@dataclass(frozen=True)
class Chart:
    """Everything that one chart shows; ``path`` joins its points to a line."""

    rows: list[Tick]
    columns: list[Tick]
    bars: list[Bar]
    points: list[Point]
    path: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self.bars and not self.points


def chart_weekly_deployments(weeks: Sequence[WeekView]) -> Chart:
    """Make a bar for each week: from below, deployments without an incident, with an incident, and failed ones."""
    top = _round_up(max((week.successes + week.failures for week in weeks), default=0))
    bars = [bar for at, week in enumerate(weeks) for bar in _stack(week, at, len(weeks), top)]
    rows = [Tick(_y(number, 0, top), f"{number:g}") for number in (0, top / 2, top) if float(number).is_integer()]
    return Chart(rows, _weeks_axis(weeks), bars, [])


def _stack(week: WeekView, at: int, count: int, top: float) -> Iterator[Bar]:
    step = (WIDTH - LEFT - RIGHT) / count
    width = min(step * 0.7, 48.0)
    x, below = LEFT + step * (at + 0.5) - width / 2, 0
    labels = {"well": "without an incident", "broken": "with an incident", "failed": "failed or rolled back"}
    for part, number in (("well", week.successes - week.broken), ("broken", week.broken), ("failed", week.failures)):
        if number:
            y = _y(below + number, 0, top)
            words = f"Week of {week.start:%-d %B %Y}: {number} {labels[part]}"
            yield Bar(round(x, 1), y, round(width, 1), round(_y(below, 0, top) - y, 1), part, words)
        below += number


def chart_weekly_lead_time(weeks: Sequence[WeekView]) -> Chart:
    """Make a line of each week's median lead time, on a logarithmic scale."""
    measured = [(at, week) for at, week in enumerate(weeks) if week.lead_seconds is not None]
    low, high, rows = _time_axis([week.lead_seconds or 0.0 for _, week in measured])
    step = (WIDTH - LEFT - RIGHT) / max(len(weeks), 1)
    points = [
        Point(
            round(LEFT + step * (at + 0.5), 1),
            _log_y(week.lead_seconds or 0.0, low, high),
            "week",
            f"Week of {week.start:%-d %B %Y}: {format_duration(week.lead_seconds or 0.0)}",
        )
        for at, week in measured
    ]
    path = " ".join(f"{'L' if at else 'M'}{point.x} {point.y}" for at, point in enumerate(points))
    return Chart(rows if points else [], _weeks_axis(weeks), [], points, path)


def chart_deployments(shown: Sequence[DeploymentView], count: int, window: Window) -> Chart:
    """Make a point for each deployment, by finish and lead time; without lead time, at the bottom.

    If the window has more deployments (``count``) than ``shown``, the chart starts with the oldest one shown.
    """
    low, high, rows = _time_axis([each.lead_seconds for each in shown if each.lead_seconds is not None])
    start = window.start if count <= len(shown) else shown[-1].finished_at
    points = [_point(deployment, start, window.end, low, high) for deployment in shown]
    return Chart(rows if points else [], _dates_axis(start, window.end), [], points)


def _point(view: DeploymentView, start: datetime, end: datetime, low: float, high: float) -> Point:
    y = HEIGHT - BOTTOM if view.lead_seconds is None else _log_y(view.lead_seconds, low, high)
    kind = view.kind if view.succeeded else "failed"
    lead = f"lead time {format_duration(view.lead_seconds)}" if view.lead_seconds is not None else "no lead time"
    incidents = f", {view.incidents} incident{'' if view.incidents == 1 else 's'}" if view.incidents else ""
    text = f"{view.ref}, {view.finished_at:%-d %B %Y, %H:%M} UTC: {view.status}, {lead}{incidents}"
    return Point(_x(view.finished_at, start, end), y, kind, text, view.incidents > 0)


def _weeks_axis(weeks: Sequence[WeekView]) -> list[Tick]:
    step = (WIDTH - LEFT - RIGHT) / max(len(weeks), 1)
    every = max(1, math.ceil(len(weeks) / _MOST_DATES))
    return [
        Tick(round(LEFT + step * (at + 0.5), 1), f"{week.start:%-d %b}")
        for at, week in enumerate(weeks)
        if at % every == 0
    ]


def _dates_axis(start: datetime, end: datetime) -> list[Tick]:
    """Make dates, with the hour or the year if the window needs it to tell them apart."""
    span = end - start
    form = "%-d %b %H:%M" if span.days < _MOST_DATES else "%-d %b" if span.days < _A_YEAR else "%b %Y"
    moments = [start + span * part / _MOST_DATES for part in range(_MOST_DATES)]
    return [Tick(_x(moment, start, end), f"{moment:{form}}") for moment in moments]


def _time_axis(seconds: Sequence[float]) -> tuple[float, float, list[Tick]]:
    """Return the lowest and highest value of the axis, and its lines."""
    least, most = max(min(seconds, default=_FLOOR), _FLOOR), max(max(seconds, default=3600.0), 2 * _FLOOR)
    low = max((step for step in _STEPS if step <= least), default=_FLOOR)
    high = min((step for step in _STEPS if step >= most and step > low), default=max(most, 2 * low))
    return low, high, [Tick(_log_y(s, low, high), format_duration(s)) for s in _STEPS if low <= s <= high]


def _x(moment: datetime, start: datetime, end: datetime) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * ((moment - start) / (end - start)), 1)


def _y(value: float, low: float, high: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ((value - low) / ((high - low) or 1)), 1)


def _log_y(value: float, low: float, high: float) -> float:
    return _y(math.log(max(value, low)), math.log(low), math.log(high))


def _round_up(number: int) -> int:
    """Round up to 2, 4, 6, 8, 10, 20, 40 and so on, so that half of it is a whole number."""
    size = 1
    while True:
        for step in (2, 4, 6, 8, 10):
            if number <= step * size:
                return step * size
        size *= 10


def format_duration(seconds: float) -> str:
    """Write a time in its two largest units: ``44 h 10 min`` is ``1 d 20 h``."""
    left = round(seconds)
    for at, (size, unit) in enumerate(_UNITS):
        if left >= size:
            rest = left % size // _UNITS[at + 1][0] if at + 1 < len(_UNITS) else 0
            more = f" {rest} {_UNITS[at + 1][1]}" if rest else ""
            return f"{left // size} {unit}{more}"
    return "0 s"
