"""Billing periods keep the day of their anchor."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from church.till.billing.periods import add_interval, compute_period_end, format_day, format_minute


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("start", "interval", "count", "end"),
    [
        ("2024-01-31T10:00", "month", 1, "2024-02-29T10:00"),
        ("2023-01-31T10:00", "month", 1, "2023-02-28T10:00"),
        ("2024-02-29T00:00", "year", 1, "2025-02-28T00:00"),
        ("2024-11-15T00:00", "month", 3, "2025-02-15T00:00"),
        ("2024-12-30T23:59", "day", 3, "2025-01-02T23:59"),
        ("2024-12-30T00:00", "week", 2, "2025-01-13T00:00"),
    ],
)
def test_shift_follows_the_calendar(start, interval, count, end):
    assert add_interval(at(start), interval, count) == at(end)


def test_periods_from_the_31st_return_to_it():
    anchor = begin = at("2024-01-31T10:00")
    days = []
    for _ in range(6):
        begin = compute_period_end(begin, anchor, "month", 1)
        days.append(datetime.fromtimestamp(begin, UTC).day)
    assert days == [29, 31, 30, 31, 30, 31]


def test_day_and_minute_are_readable():
    assert format_day(at("2024-05-03T07:08")) == "3 May 2024"
    assert format_minute(at("2024-05-03T07:08")) == "3 May 2024, 07:08 UTC"
