"""Billing periods: they begin on the anchor's day, or on the last of a month that has no such day."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

DAY = 86_400


def shift(at: int, interval: str, count: int) -> int:
    """``count`` days, weeks, months or years after ``at``."""
    moment = datetime.fromtimestamp(at, UTC)
    if interval in {"day", "week"}:
        return int((moment + timedelta(days=count * (7 if interval == "week" else 1))).timestamp())
    months = moment.month - 1 + count * (12 if interval == "year" else 1)
    year, month = moment.year + months // 12, months % 12 + 1
    last = calendar.monthrange(year, month)[1]
    return int(moment.replace(year=year, month=month, day=min(moment.day, last)).timestamp())


def end_after(start: int, anchor: int, interval: str, count: int) -> int:
    """Where the period that begins at ``start`` ends, in the rhythm of ``anchor``."""
    periods = 1
    while (end := shift(anchor, interval, periods * count)) <= start:
        periods += 1
    return end


def day(at: int) -> str:
    """A date for people."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment.day} {moment:%B %Y}"


def minute(at: int) -> str:
    """A date and time for people."""
    return f"{day(at)}, {datetime.fromtimestamp(at, UTC):%H:%M} UTC"
