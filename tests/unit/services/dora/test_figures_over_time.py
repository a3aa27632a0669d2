"""The history of a window: weeks, deployments and incidents, and how many are left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from church.services.dora import (
    Window,
    figures,
    figures_over_time,
    read_deployment,
    read_incident,
    read_overview,
    record_deployments,
    record_incident,
)
from tests.support.delivery_fixture import DEPLOYMENTS, FIGURES, INCIDENTS

START = datetime(2024, 3, 4, tzinfo=UTC)
WEEK = Window("production", START, START + timedelta(days=7))


@pytest.fixture
def recorded(at_work: Flask) -> None:
    """The worked example of a week."""
    record_deployments([read_deployment(sent) for sent in DEPLOYMENTS])
    for sent in INCIDENTS:
        record_incident(read_incident(sent))


def test_overview_has_the_figures_of_the_window(recorded: None) -> None:
    found = read_overview(WEEK).figures
    assert {name: (figure.value, figure.n) for name, figure in found.items()} == {
        name: (pytest.approx(value), n) for name, (value, n) in FIGURES.items()
    }


def test_figures_of_many_commits_are_those_of_few(recorded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the median is found: by sorting, or by the index of lead times, in the whole window and in a part."""
    for window in (WEEK, Window("production", START + timedelta(days=2), START + timedelta(days=5))):
        few = read_overview(window).figures
        with monkeypatch.context() as many:
            many.setattr(figures, "_MANY", 1)
            assert read_overview(window).figures == few


def test_deployments_shown_from_before_the_weeks_shown_have_their_lead_times(
    recorded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures_over_time, "MOST_WEEKS", 1)
    history = read_overview(Window("production", START, START + timedelta(days=21))).history
    assert [(week.start, week.successes) for week in history.weeks] == [(START + timedelta(days=14), 0)]
    by_ref = {one.ref: one for one in history.deployments}
    assert (by_ref["D1"].commits, by_ref["D1"].lead_seconds, by_ref["D4"].incidents) == (2, 4500, 2)


def test_history_is_newest_first_with_lead_times_and_incidents(recorded: None) -> None:
    history = read_overview(WEEK).history
    assert [one.ref for one in history.deployments] == ["D7", "D5", "D4", "D3", "D2", "D1"]
    assert [one.ref for one in history.incidents] == ["I4", "I3", "I2", "I1"]
    by_ref = {one.ref: one for one in history.deployments}
    assert (by_ref["D1"].commits, by_ref["D1"].lead_seconds) == (2, 4500)
    assert (by_ref["D3"].succeeded, by_ref["D3"].commits, by_ref["D3"].lead_seconds) == (False, 0, None)
    assert (by_ref["D4"].incidents, history.deployment_count, history.incident_count) == (2, 6, 4)
    assert history.open_incidents == 1


def test_week_counts_successes_failures_and_broken_ones(recorded: None) -> None:
    (week,) = read_overview(WEEK).history.weeks
    assert (week.start, week.successes, week.failures, week.broken, week.lead_seconds) == (START, 5, 1, 2, 5400)


def test_week_without_deployments_is_listed(recorded: None) -> None:
    weeks = read_overview(Window("production", START - timedelta(days=7), WEEK.end)).history.weeks
    assert [(week.successes, week.lead_seconds) for week in weeks] == [(0, None), (5, 5400)]


def test_history_of_too_many_lists_the_newest_and_counts_all(recorded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOST_WEEKS", "MOST_DEPLOYMENTS", "MOST_INCIDENTS"):
        monkeypatch.setattr(figures_over_time, name, 1)
    history = read_overview(Window("production", START - timedelta(days=7), WEEK.end)).history
    assert [one.ref for one in history.deployments] == ["D7"]
    assert [one.ref for one in history.incidents] == ["I4"]
    assert [week.start for week in history.weeks] == [START]
    assert (history.deployment_count, history.incident_count) == (6, 4)
