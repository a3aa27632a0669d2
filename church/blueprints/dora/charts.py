"""Compute positions and texts of the charts on ``/dora``: bars and points that only deliveries have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime

from church.services.dora import DeploymentView, WeekView, Window
from church.web.charts import HEIGHT, MOST_COLUMNS, Bar, Chart, Line, Point, Tick, time_axis, value_axis, x_of, y_of
from church.web.charts.units import COUNT

_WIDEST = 6.0  # percent: a bar of a single week fills no more
_FLOOR = 60.0  # seconds: a lead time below a minute is shown as one
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_STEPS = (60.0, 600.0, 3600.0, 6 * 3600.0, 86400.0, 7 * 86400.0, 30 * 86400.0, 365 * 86400.0)


def chart_weekly_deployments(weeks: Sequence[WeekView]) -> Chart:
    """Make a bar for each week: from below, deployments without an incident, with an incident, and failed ones."""
    most = max((week.successes + week.failures for week in weeks), default=0)
    _, top, rows = value_axis(most, 0, COUNT)
    bars = [bar for at, week in enumerate(weeks) for bar in _stack(week, at, len(weeks), top)]
    return Chart(rows, _weeks_axis(weeks), bars=bars)


def _stack(week: WeekView, at: int, count: int, top: float) -> Iterator[Bar]:
    width = min(100 / count * 0.7, _WIDEST)
    x, below = 100 / count * (at + 0.5) - width / 2, 0
    labels = {"well": "without an incident", "broken": "with an incident", "failed": "failed or rolled back"}
    for part, number in (("well", week.successes - week.broken), ("broken", week.broken), ("failed", week.failures)):
        if number:
            y = y_of(below + number, 0, top)
            words = f"Week of {week.start:%-d %B %Y}: {number} {labels[part]}"
            yield Bar(round(x, 2), y, round(width, 2), round(y_of(below, 0, top) - y, 1), part, words)
        below += number


def chart_weekly_lead_time(weeks: Sequence[WeekView]) -> Chart:
    """Make a line of each week's median lead time, on a logarithmic scale."""
    measured = [(at, week) for at, week in enumerate(weeks) if week.lead_seconds is not None]
    low, high, rows = _time_axis([week.lead_seconds or 0.0 for _, week in measured])
    points = [
        Point(
            round(100 / len(weeks) * (at + 0.5), 2),
            _log_y(week.lead_seconds or 0.0, low, high),
            "week",
            f"Week of {week.start:%-d %B %Y}: {format_duration(week.lead_seconds or 0.0)}",
        )
        for at, week in measured
    ]
    path = " ".join(f"{'L' if at else 'M'}{point.x * 10:g} {point.y:g}" for at, point in enumerate(points))
    lines = [Line("Median lead time", 1, path)] if points else []
    return Chart(rows if points else [], _weeks_axis(weeks), points=points, lines=lines)


def chart_deployments(shown: Sequence[DeploymentView], count: int, window: Window) -> Chart:
    """Make a point for each deployment, by finish and lead time; without lead time, at the bottom.

    If the window has more deployments (``count``) than ``shown``, the chart starts with the oldest one shown.
    """
    low, high, rows = _time_axis([each.lead_seconds for each in shown if each.lead_seconds is not None])
    start = window.start if count <= len(shown) else shown[-1].finished_at
    points = [_point(deployment, start, window.end, low, high) for deployment in shown]
    columns = time_axis(start, window.end)
    return Chart(rows if points else [], columns, points=points, start=start, end=window.end)


def _point(view: DeploymentView, start: datetime, end: datetime, low: float, high: float) -> Point:
    y = HEIGHT if view.lead_seconds is None else _log_y(view.lead_seconds, low, high)
    kind = view.kind if view.succeeded else "failed"
    lead = f"lead time {format_duration(view.lead_seconds)}" if view.lead_seconds is not None else "no lead time"
    incidents = f", {view.incidents} incident{'' if view.incidents == 1 else 's'}" if view.incidents else ""
    text = f"{view.ref}, {view.finished_at:%-d %B %Y, %H:%M} UTC: {view.status}, {lead}{incidents}"
    return Point(
        x_of(view.finished_at.timestamp(), start.timestamp(), end.timestamp()), y, kind, text, view.incidents > 0
    )


def _weeks_axis(weeks: Sequence[WeekView]) -> list[Tick]:
    every = max(1, math.ceil(len(weeks) / MOST_COLUMNS))
    return [
        Tick(round(100 / len(weeks) * (at + 0.5), 2), f"{week.start:%-d %b}")
        for at, week in enumerate(weeks)
        if at % every == 0
    ]


def _time_axis(seconds: Sequence[float]) -> tuple[float, float, list[Tick]]:
    """Return the lowest and highest value of the axis, and its lines."""
    least, most = max(min(seconds, default=_FLOOR), _FLOOR), max(max(seconds, default=3600.0), 2 * _FLOOR)
    low = max((step for step in _STEPS if step <= least), default=_FLOOR)
    high = min((step for step in _STEPS if step >= most and step > low), default=max(most, 2 * low))
    return low, high, [Tick(_log_y(s, low, high), format_duration(s)) for s in _STEPS if low <= s <= high]


def _log_y(value: float, low: float, high: float) -> float:
    return y_of(math.log(max(value, low)), math.log(low), math.log(high))


def format_duration(seconds: float) -> str:
    """Write a time in its two largest units: ``44 h 10 min`` is ``1 d 20 h``."""
    left = round(seconds)
    for at, (size, unit) in enumerate(_UNITS):
        if left >= size:
            rest = left % size // _UNITS[at + 1][0] if at + 1 < len(_UNITS) else 0
            more = f" {rest} {_UNITS[at + 1][1]}" if rest else ""
            return f"{left // size} {unit}{more}"
    return "0 s"
