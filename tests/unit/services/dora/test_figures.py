"""The figures without a database: no data, medians, and the limits of each edition's bands."""

from __future__ import annotations

import pytest

from church.services.dora.figures import DAY, UNITS, Facts, choose_bands, compute_figures

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
    found = compute_figures(Facts(leads=values, repairs=values, recoveries=values), 30, 2024)
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
    assert band("lead_time_seconds", leads=[seconds]) == lead
    assert band("failed_deployment_recovery_seconds", recoveries=[seconds]) == recovery
    assert band("failed_deployment_recovery_seconds", 2023, recoveries=[seconds]) == recovery_2023


@pytest.mark.parametrize(
    ("broken", "of_2024", "of_2023"),
    [(0, "elite", "elite"), (5, "elite", "elite"), (10, "high", "high"), (15, "high", "medium"), (21, "low", "low")],
)
def test_failure_rate_at_the_limits_of_its_bands(broken: int, of_2024: str, of_2023: str) -> None:
    assert band("change_failure_rate", successes=100, broken=broken) == of_2024
    assert band("change_failure_rate", 2023, successes=100, broken=broken) == of_2023


def test_rework_and_time_to_restore_have_no_band() -> None:
    assert band("deployment_rework_rate", successes=4, hotfixes=1) is None
    assert band("mttr_seconds", repairs=[5]) is None


def test_edition_is_the_newest_up_to_the_given_year() -> None:
    assert [choose_bands(year) for year in (2014, 2023, 2024, 2026)] == [2023, 2023, 2024, 2024]
    assert compute_figures(Facts(), 30, 2026)["mttr_seconds"].edition == "2024"
