"""Round values and times for the axes of charts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from church.web.charts.shapes import Tick, x_of, y_of
from church.web.charts.units import Unit

_MOST_ROWS = 4
MOST_COLUMNS = 6
_DAY = 86400
_TIME_STEPS = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, _DAY, 2 * _DAY)
_DATE_STEPS = (7, 14, 28, 56, 91, 182, 365)  # days


def value_axis(most: float, least: float, unit: Unit) -> tuple[float, float, list[Tick]]:
    """Return the lowest and the highest value of an axis from 0, or from below it, and its lines."""
    top, bottom = max(most, 0.0), min(least, 0.0)
    step = unit.round_step(max((top - bottom) / _MOST_ROWS, 1e-9)) if top > bottom else 1.0
    if unit.is_whole:
        step = max(1.0, step)
    first, last = math.floor(bottom / step), max(math.ceil(top / step - 1e-9), 1)
    low, high = first * step, last * step
    return low, high, [Tick(y_of(at * step, low, high), unit.write(at * step)) for at in range(first, last + 1)]


def time_axis(start: datetime, end: datetime) -> list[Tick]:
    """Return at most seven round times in UTC; the first of each day is its date."""
    seconds = (end - start).total_seconds()
    step = next((one for one in _TIME_STEPS if seconds / one <= MOST_COLUMNS), None)
    moments = _every(start, end, step) if step is not None else _every_days(start, end, seconds / _DAY)
    form = "%b %Y" if seconds > 400 * _DAY else "%-d %b"
    return [_tick(at, start, end, form, fine=step is not None and step < 60) for at in moments]


def _tick(at: datetime, start: datetime, end: datetime, form: str, *, fine: bool) -> Tick:
    is_midnight = at.hour == at.minute == at.second == 0
    words = f"{at:{form}}" if is_midnight else f"{at:%H:%M:%S}" if fine else f"{at:%H:%M}"
    return Tick(x_of(at.timestamp(), start.timestamp(), end.timestamp()), words)


def _every(start: datetime, end: datetime, step: int) -> Iterator[datetime]:
    at = math.ceil(start.timestamp() / step) * step
    while at <= end.timestamp():
        yield datetime.fromtimestamp(at, UTC)
        at += step


def _every_days(start: datetime, end: datetime, days: float) -> Iterator[datetime]:
    """Yield days at equal distances, so that the last one is near the end."""
    step = next((one for one in _DATE_STEPS if days / one <= MOST_COLUMNS), 365 * math.ceil(days / 365 / MOST_COLUMNS))
    first = datetime(start.year, start.month, start.day, tzinfo=UTC)
    at = first if first >= start else first + timedelta(days=1)
    while at <= end:
        yield at
        at += timedelta(days=step)
