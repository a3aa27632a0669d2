"""Windows of time from a query: UTC days, leap days, offsets, and invalid windows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from church.errors import FieldErrors
from church.services.dora.figures import Window, read_window

NOW = datetime(2026, 11, 23, 18, 30, 5, 7, tzinfo=UTC)
PLACES = ("production", "staging")


def window_of(**query: str) -> Window:
    return read_window({name.strip("_"): value for name, value in query.items()}, PLACES, NOW)


def test_window_by_default_is_the_first_environments_last_30_days() -> None:
    found = window_of()
    assert (found.environment, found.days) == ("production", 30)
    assert found.end == datetime(2026, 11, 23, 18, 30, 6, tzinfo=UTC)  # includes reports of this very second


def test_date_is_the_beginning_of_its_day_in_utc() -> None:
    found = window_of(environment="staging", from_="2024-02-28", to="2024-03-01")
    assert (found.start, found.environment) == (datetime(2024, 2, 28, tzinfo=UTC), "staging")
    assert found.days == 2  # with the leap day


@pytest.mark.parametrize("offset", ["+02:00", " 02:00"])
def test_time_keeps_its_offset_even_if_the_plus_became_a_space(offset: str) -> None:
    # Clocks changed in this night in countries with this offset; the window still has 24 hours.
    found = window_of(from_=f"2026-03-29T00:00:00{offset}", to="2026-03-29T22:00:00Z")
    assert (found.start, found.days) == (datetime(2026, 3, 28, 22, tzinfo=UTC), 1)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"environment": "moon"}, "environment"),
        ({"from_": "2023-02-29"}, "from"),
        ({"to": "yesterday"}, "to"),
        ({"from_": "2026-03-01T12:00:00"}, "from"),
        ({"from_": "1999-01-01"}, "from"),
        ({"from_": "2026-01-02", "to": "2026-01-02"}, "from"),
        ({"from_": "2001-01-01", "to": "2026-01-01"}, "from"),
    ],
)
def test_invalid_window_names_the_field(query: dict[str, str], field: str) -> None:
    with pytest.raises(FieldErrors) as caught:
        window_of(**query)
    assert list(caught.value.errors) == [field]


def test_weeks_begin_on_monday_and_are_cut_to_the_window() -> None:
    window = window_of(from_="2024-02-28", to="2024-03-12")
    assert [(f"{start:%a %d}", f"{end:%a %d}") for start, end in window.weeks()] == [
        ("Wed 28", "Mon 04"),
        ("Mon 04", "Mon 11"),
        ("Mon 11", "Tue 12"),
    ]
