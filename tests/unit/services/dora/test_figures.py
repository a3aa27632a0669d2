"""The figures without a database: medians and bands, and windows of time from a query."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from church.errors import FieldErrors
from church.services.dora.figures import DAY, UNITS, Facts, Sample, Window, choose_bands, compute_figures, read_window

NOW = datetime(2026, 11, 23, 18, 30, 5, 7, tzinfo=UTC)
PLACES = ("production", "staging")
HOUR = 3600.0


def band(name: str, edition: int = 2024, days: float = 30, **facts: object) -> str | None:
    return compute_figures(Facts(ever=True, **facts), days, edition)[name].band  # type: ignore[arg-type]


def test_figures_without_facts_are_no_data() -> None:
    found = compute_figures(Facts(), 30, 2024)
    assert list(found) == list(UNITS)
    assert {(one.value, one.n, one.band) for one in found.values()} == {(None, 0, None)}


def test_frequency_is_zero_once_there_was_any_deployment() -> None:
    found = compute_figures(Facts(ever=True), 30, 2024)
    assert (found["deployment_frequency"].value, found["deployment_frequency"].band) == (0, "low")
    assert found["change_failure_rate"].value is None


@pytest.mark.parametrize(("values", "middle"), [((3,), 3), ((1, 9), 5), ((9, 1, 5), 5), ((4, 1, 2, 100), 3)])
def test_times_are_medians_with_their_n(values: tuple[float, ...], middle: float) -> None:
    sample = Sample.of(values)
    found = compute_figures(Facts(leads=sample, repairs=sample, recoveries=sample), 30, 2024)
    for name in ("lead_time_seconds", "mttr_seconds", "failed_deployment_recovery_seconds"):
        assert (found[name].value, found[name].n, found[name].unit) == (middle, len(values), "seconds")


@pytest.mark.parametrize(
    ("successes", "days", "expected"),
    [(31, 30, "elite"), (30, 30, "high"), (1, 7, "high"), (1, 8, "medium"), (1, 30, "medium"), (1, 31, "low")],
)
def test_frequency_is_elite_on_demand_high_weekly_and_medium_monthly(
    successes: int, days: float, expected: str
) -> None:
    assert band("deployment_frequency", days=days, successes=successes) == expected


@pytest.mark.parametrize(
    ("seconds", "lead", "recovery", "recovery_2023"),
    [
        (HOUR - 1, "elite", "elite", "elite"),
        (HOUR, "elite", "high", "high"),
        (DAY - 1, "elite", "high", "high"),
        (DAY, "high", "low", "medium"),
        (7 * DAY, "medium", "low", "low"),
        (30 * DAY, "low", "low", "low"),
    ],
)
def test_times_at_the_limits_of_their_bands(seconds: float, lead: str, recovery: str, recovery_2023: str) -> None:
    assert band("lead_time_seconds", leads=Sample.of([seconds])) == lead
    assert band("failed_deployment_recovery_seconds", recoveries=Sample.of([seconds])) == recovery
    assert band("failed_deployment_recovery_seconds", 2023, recoveries=Sample.of([seconds])) == recovery_2023


@pytest.mark.parametrize(
    ("broken", "of_2024", "of_2023"),
    [(0, "elite", "elite"), (5, "elite", "elite"), (10, "high", "high"), (15, "high", "medium"), (21, "low", "low")],
)
def test_failure_rate_at_the_limits_of_its_bands(broken: int, of_2024: str, of_2023: str) -> None:
    assert band("change_failure_rate", successes=100, broken=broken) == of_2024
    assert band("change_failure_rate", 2023, successes=100, broken=broken) == of_2023


def test_rework_and_time_to_restore_have_no_band() -> None:
    assert band("deployment_rework_rate", successes=4, hotfixes=1) is None
    assert band("mttr_seconds", repairs=Sample.of([5])) is None


def test_edition_is_the_newest_up_to_the_given_year() -> None:
    assert [choose_bands(year) for year in (2014, 2023, 2024, 2026)] == [2023, 2023, 2024, 2024]
    assert compute_figures(Facts(), 30, 2026)["mttr_seconds"].edition == "2024"


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
