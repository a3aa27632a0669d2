"""Positions and texts of the charts: across in percent, down in pixels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from church.blueprints.dora import charts
from church.services.dora import DeploymentView, WeekView, Window
from church.web.charts import HEIGHT, TOP

MONDAY = datetime(2024, 3, 4, tzinfo=UTC)
WEEK = Window("production", MONDAY, MONDAY + timedelta(days=7))


def week(number: int = 0, **figures: Any) -> WeekView:
    """Make a week, ``number`` weeks after the first one."""
    nothing: dict[str, Any] = {"successes": 0, "broken": 0, "failures": 0, "lead_seconds": None}
    return WeekView(start=MONDAY + timedelta(weeks=number), **{**nothing, **figures})


def deployment(ref: str, days: float, **facts: Any) -> DeploymentView:
    """Make a deployment that finished ``days`` after the start of the week."""
    usual: dict[str, Any] = {
        "status": "success",
        "kind": "normal",
        "commits": 1,
        "lead_seconds": 3600.0,
        "incidents": 0,
    }
    links: dict[str, Any] = {"version": None, "commit": None, "url": None}
    return DeploymentView(ref=ref, finished_at=MONDAY + timedelta(days=days), **{**usual, **links, **facts})


def test_bar_of_a_week_stacks_its_deployments_from_below() -> None:
    chart = charts.chart_weekly_deployments([week(successes=3, broken=1, failures=1)])
    assert [(bar.part, bar.y, bar.height) for bar in chart.bars] == [
        ("well", 93.0, 87.0),
        ("broken", 49.5, 43.5),
        ("failed", TOP, 43.5),
    ]
    assert [bar.words for bar in chart.bars] == [
        "Week of 4 March 2024: 2 without an incident",
        "Week of 4 March 2024: 1 with an incident",
        "Week of 4 March 2024: 1 failed or rolled back",
    ]
    assert [(row.at, row.words) for row in chart.rows][::2] == [(HEIGHT, "0"), (93.0, "2"), (TOP, "4")]


@pytest.mark.parametrize(("most", "top"), [(0, "1"), (3, "3"), (10, "10"), (11, "15"), (430, "600"), (1001, "1,500")])
def test_scale_of_weeks_ends_at_a_round_number_above_the_most(most: int, top: str) -> None:
    assert charts.chart_weekly_deployments([week(successes=most), week(1)]).rows[-1].words == top


def test_line_of_lead_times_skips_weeks_without_one() -> None:
    chart = charts.chart_weekly_lead_time([week(0, lead_seconds=3600.0), week(1), week(2, lead_seconds=86400.0)])
    assert [line.path for line in chart.lines] == [f"M166.7 {HEIGHT:g} L833.3 {TOP:g}"]
    assert [row.words for row in chart.rows] == ["1 h", "6 h", "1 d"]
    assert [column.words for column in chart.columns] == ["4 Mar", "11 Mar", "18 Mar"]


def test_chart_without_data_is_empty() -> None:
    for chart in (
        charts.chart_weekly_deployments([]),
        charts.chart_weekly_lead_time([week()]),
        charts.chart_deployments([], 0, WEEK),
    ):
        assert chart.is_empty
        assert chart.lines == []
    assert charts.chart_weekly_lead_time([week()]).rows == []


def test_many_weeks_have_at_most_six_dates() -> None:
    assert len(charts.chart_weekly_deployments([week(number) for number in range(53)]).columns) == 6


def test_deployment_is_a_point_of_its_kind_or_failed_with_its_facts_in_words() -> None:
    fine = deployment("D1", 3.5, kind="hotfix", incidents=2)
    failed = deployment("D2", 0, status="failure", lead_seconds=None)
    first, second = charts.chart_deployments([fine, failed], 2, WEEK).points
    assert (first.x, first.kind, first.broken) == (50.0, "hotfix", True)
    assert first.words == "D1, 7 March 2024, 12:00 UTC: success, lead time 1 h, 2 incidents"
    assert (second.x, second.y, second.kind, second.broken) == (0.0, HEIGHT, "failed", False)
    assert second.words == "D2, 4 March 2024, 00:00 UTC: failure, no lead time"


def test_chart_with_more_deployments_than_shown_starts_with_the_oldest_shown() -> None:
    newest, oldest = deployment("D9", 6), deployment("D8", 5)
    assert charts.chart_deployments([newest, oldest], 9, WEEK).points[1].x == 0
    assert charts.chart_deployments([newest, oldest], 2, WEEK).points[1].x > 0


@pytest.mark.parametrize(
    ("days", "words"), [(1, "06:00"), (7, "6 Mar"), (800, "Sep 2024")], ids=["hours", "days", "months"]
)
def test_dates_of_the_axis_fit_the_length_of_the_window(days: int, words: str) -> None:
    window = Window("production", MONDAY, MONDAY + timedelta(days=days))
    assert charts.chart_deployments([], 0, window).columns[1].words == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.6, "1 s"),
        (59.6, "1 min"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (159_000, "1 d 20 h"),
        (86_460, "1 d"),
    ],
)
def test_duration_is_written_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert charts.format_duration(seconds) == words
