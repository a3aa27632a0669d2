"""The range of time of a page, read from its query."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from church.errors import InvalidError
from church.web.time_ranges import choose_step, list_ranges, read_range

_NOW = datetime(2026, 6, 1, 12, 0, 7, tzinfo=UTC)
_DAY = timedelta(days=1)


def test_range_without_a_query_is_the_last_day_up_to_now() -> None:
    before = datetime.now(UTC)
    found = read_range({})
    assert (found.name, found.seconds, found.is_live) == ("24h", 86400, True)
    assert before <= found.end <= datetime.now(UTC) + timedelta(seconds=15)


@pytest.mark.parametrize(("name", "seconds", "step"), [("1h", 3600, 15), ("6h", 21600, 120), ("7d", 604800, 3600)])
def test_usual_range_has_its_length_and_at_most_240_points(name: str, seconds: int, step: int) -> None:
    found = read_range({"range": name})
    assert (found.seconds, found.step, found.query) == (seconds, step, {"range": name})
    assert found.seconds / found.step <= 240


def test_range_before_another_has_its_length_and_ends_where_it_begins() -> None:
    found = read_range({"range": "6h"})
    assert (found.before.to_us, found.before.seconds) == (found.from_us, found.seconds)


def test_range_of_days_includes_the_last_one() -> None:
    found = read_range({"from": "2026-05-30", "to": "2026-05-31"})
    assert (found.start, found.end) == (datetime(2026, 5, 30, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC))
    assert (found.name, found.is_live) == ("", False)


def test_range_of_times_with_a_zone_is_read_in_utc_and_links_to_itself() -> None:
    found = read_range({"from": "2026-05-30T10:00:00+02:00", "to": "2026-05-30T09:30:00Z"})
    assert found.query == {"from": "2026-05-30T08:00:00Z", "to": "2026-05-30T09:30:00Z"}
    assert read_range(found.query) == found


@pytest.mark.parametrize(
    "query",
    [
        {"range": "2h"},
        {"from": "yesterday"},
        {"from": "2026-05-31", "to": "2026-05-30"},
        {"from": "0001-01-01T00:00:00+14:00", "to": "2026-05-30"},
        {"from": "2026-05-30", "to": "9999-12-31T23:59:59-12:00"},
        {"from": "2001-01-01", "to": "2026-05-30"},
    ],
)
def test_wrong_range_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(InvalidError):
        read_range(query)


def test_range_longer_than_data_is_kept_is_not_offered_and_refused() -> None:
    assert [name for name, _ in list_ranges(14)] == ["1h", "6h", "24h", "7d"]
    with pytest.raises(InvalidError):
        read_range({"range": "30d"}, kept_days=14)


@pytest.mark.parametrize(
    ("age", "length", "step"),
    [(_DAY, _DAY, 600), (5 * _DAY, timedelta(hours=1), 300), (100 * _DAY, timedelta(hours=1), 3600)],
)
def test_step_is_no_finer_than_what_is_kept(age: timedelta, length: timedelta, step: int) -> None:
    assert choose_step(_NOW - age, _NOW - age + length, _NOW) == step
