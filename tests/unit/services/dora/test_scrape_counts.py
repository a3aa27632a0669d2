"""Delivery metrics of a scrape: sums of all time and rates of the last 30 days, by environment."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

from church.config import current_settings
from church.models.base import utc_now
from church.models.dora import DeploymentKind, DeploymentStatus
from church.services.dora import (
    LEAD_BUCKETS,
    REPAIR_BUCKETS,
    count_samples,
    read_failure_rates,
    read_frequencies,
    read_lead_times,
    read_repair_times,
    read_rework_rates,
    record_deployment,
    record_incident,
)
from church.services.dora.schemas import Commit, DeploymentReport, IncidentReport

HOUR = timedelta(hours=1)
PRODUCTION = ("production",)


@pytest.fixture
def recorded(at_work: Flask) -> None:
    """Three deployments of today, one of them a hotfix and one the cause of an incident, and one of long ago."""
    now = utc_now()
    facts = (("d1", 6, DeploymentKind.NORMAL), ("d2", 4, DeploymentKind.NORMAL), ("d3", 2, DeploymentKind.HOTFIX))
    for ref, age, kind in (*facts, ("old", 40 * 24, DeploymentKind.NORMAL)):
        finished = now - age * HOUR
        commits = (Commit(f"{len(ref)}{age}", finished - HOUR),)
        success = DeploymentStatus.SUCCESS
        record_deployment(DeploymentReport(ref, "production", success, finished, kind, commits=commits))
    opened = now - 3 * HOUR
    record_incident(IncidentReport("i1", "production", "Broken", None, "d2", opened, opened + HOUR / 2))


def test_every_environment_has_zeros_before_the_first_report(at_work: Flask) -> None:
    for read, bounds in ((read_lead_times, LEAD_BUCKETS), (read_repair_times, REPAIR_BUCKETS)):
        found = dict(read())
        assert [name for (name,) in found] == list(current_settings().environments)
        assert {tuple(sums) for sums in found.values()} == {(0.0,) * (len(bounds) + 2)}
    assert [*read_frequencies(), *read_failure_rates(), *read_rework_rates()] == []


def test_lead_times_are_counts_up_to_each_bound_then_count_and_sum(recorded: None) -> None:
    sums = dict(read_lead_times())[PRODUCTION]
    assert list(sums) == [0.0, 0.0, *[4.0] * (len(LEAD_BUCKETS) - 2), 4.0, 4 * 3600.0]


def test_repair_times_are_those_of_resolved_incidents(recorded: None) -> None:
    sums = dict(read_repair_times())[PRODUCTION]
    assert sums[-2:] == [1.0, 1800.0]
    assert sums[REPAIR_BUCKETS.index(900.0)] == 0
    assert sums[REPAIR_BUCKETS.index(1800.0)] == 1


def test_rates_are_of_the_last_30_days(recorded: None) -> None:
    assert dict(read_frequencies()) == {PRODUCTION: 3 / 30}
    assert dict(read_failure_rates()) == {PRODUCTION: 1 / 3}
    assert dict(read_rework_rates()) == {PRODUCTION: 1 / 3}


def test_samples_count_what_each_figure_is_computed_from(recorded: None) -> None:
    found = {name: value for (name, environment), value in count_samples() if environment == "production"}
    assert found == {
        "deployment_frequency": 3, "lead_time_seconds": 3, "change_failure_rate": 3, "mttr_seconds": 1,
        "failed_deployment_recovery_seconds": 1, "deployment_rework_rate": 3,
    }  # fmt: skip


def test_new_report_is_in_the_next_scrape(recorded: None) -> None:
    assert dict(read_lead_times())[PRODUCTION][-2] == 4
    record_incident(IncidentReport("i2", "production", "Slow", deployment="d3", opened_at=utc_now() - HOUR))
    assert dict(read_failure_rates())[PRODUCTION] == 2 / 3
