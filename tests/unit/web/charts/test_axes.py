"""Round values and times of the axes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from church.web.charts import HEIGHT, TOP, time_axis, units, value_axis

_START = datetime(2026, 5, 31, 22, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("most", "least", "unit", "words"),
    [
        (7, 0, units.COUNT, ["0", "2", "4", "6", "8"]),
        (1, 0, units.COUNT, ["0", "1"]),
        (0, 0, units.COUNT, ["0", "1"]),
        (0.3, 0, units.SECONDS, ["0 s", "100 ms", "200 ms", "300 ms"]),
        (3, -2, units.NUMBER, ["-2", "0", "2", "4"]),
    ],
)
def test_value_axis_has_round_values_around_all_that_is_shown(
    most: float, least: float, unit: units.Unit, words: list[str]
) -> None:
    low, high, rows = value_axis(most, least, unit)
    assert [row.words for row in rows] == words
    assert low <= least <= most <= high
    assert (rows[0].at, rows[-1].at) == (HEIGHT, TOP)


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(minutes=1), ["22:10:00", "22:10:15", "22:10:30", "22:10:45", "22:11:00"]),
        (timedelta(hours=1), ["22:10", "22:20", "22:30", "22:40", "22:50", "23:00", "23:10"]),
        (timedelta(hours=24), ["1 Jun", "06:00", "12:00", "18:00"]),
        (timedelta(days=7), ["2 Jun", "4 Jun", "6 Jun"]),
        (timedelta(days=30), ["1 Jun", "8 Jun", "15 Jun", "22 Jun", "29 Jun"]),
        (timedelta(days=730), ["Jun 2026", "Nov 2026", "May 2027", "Nov 2027", "May 2028"]),
    ],
)
def test_time_axis_has_few_round_times(length: timedelta, words: list[str]) -> None:
    columns = time_axis(_START, _START + length)
    assert [column.words for column in columns] == words
    assert all(0 <= column.at <= 100 for column in columns)
