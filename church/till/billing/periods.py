"""Compute billing periods, which begin on the anchor's day or on the last day of a shorter month, and format dates."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

DAY = 86_400


def add_interval(at: int, interval: str, count: int) -> int:
    """Return the time ``count`` days, weeks, months or years after ``at``."""
    moment = datetime.fromtimestamp(at, UTC)
    if interval in {"day", "week"}:
        return int((moment + timedelta(days=count * (7 if interval == "week" else 1))).timestamp())
    months = moment.month - 1 + count * (12 if interval == "year" else 1)
    year, month = moment.year + months // 12, months % 12 + 1
    last = calendar.monthrange(year, month)[1]
    return int(moment.replace(year=year, month=month, day=min(moment.day, last)).timestamp())


def compute_period_end(start: int, anchor: int, interval: str, count: int) -> int:
    """Return the end of the period that begins at ``start``, counted in intervals from ``anchor``."""
    periods = 1
    while (end := add_interval(anchor, interval, periods * count)) <= start:
        periods += 1
    return end


def format_day(at: int) -> str:
    """Format a date for a page: ``3 May 2024``."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment.day} {moment:%B %Y}"


def format_minute(at: int) -> str:
    """Format a date and time for a page: ``3 May 2024, 07:08 UTC``."""
    return f"{format_day(at)}, {datetime.fromtimestamp(at, UTC):%H:%M} UTC"
