"""Reports of deployments and incidents as JSON: what is read, and which fields are invalid."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask

from church.errors import FieldErrors
from church.models.base import utc_now
from church.models.dora import DeploymentKind, DeploymentStatus, Severity
from church.services.dora.schemas import Commit, parse_time, read_deployment, read_incident

D1: dict[str, Any] = {"id": "d1", "environment": "production", "status": "success", "finished_at": "2024-03-04T10:00Z"}
NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)


def errors(read: Any, sent: Any) -> list[str]:
    with pytest.raises(FieldErrors) as refused:
        read(sent)
    return list(refused.value.errors)


def test_deployment_has_defaults_for_what_is_missing_or_empty(at_work: Flask) -> None:
    report = read_deployment({**D1, "version": "", "url": None, "unknown": 1})
    assert (report.ref, report.status, report.kind) == ("d1", DeploymentStatus.SUCCESS, DeploymentKind.NORMAL)
    assert (report.version, report.url, report.commits) == (None, None, ())


def test_deployment_without_a_finish_has_finished_now(at_work: Flask) -> None:
    before = utc_now()
    report = read_deployment({**D1, "finished_at": None})
    assert before <= report.finished_at <= utc_now()


def test_deployment_keeps_each_commit_once_with_a_small_sha(at_work: Flask) -> None:
    commits = [{"sha": sha, "committed_at": "2024-03-04T11:00+02:00"} for sha in ("AB", "ab", "cd")]
    nine = datetime(2024, 3, 4, 9, tzinfo=UTC)
    assert read_deployment({**D1, "commits": commits}).commits == (Commit("ab", nine), Commit("cd", nine))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"status": "done"}, "status"),
        ({"environment": "moon"}, "environment"),
        ({"url": "ftp://ci.example"}, "url"),
        ({"commit": "xyz"}, "commit"),
        ({"started_at": "2024-03-04T10:01Z"}, "finished_at"),
        ({"commits": ""}, "commits"),
        ({"commits": [{"sha": "ab"}]}, "commits[0].committed_at"),
        ({"commits": [{"sha": "ab", "committed_at": "2024-03-04T10:06Z"}]}, "commits[0].committed_at"),
    ],
)
def test_deployment_invalid_names_the_field(at_work: Flask, change: dict[str, Any], field: str) -> None:
    assert errors(read_deployment, {**D1, **change}) == [field]


def test_incident_fields_that_are_missing_change_nothing(at_work: Flask) -> None:
    report = read_incident({"id": "i1", "severity": "warning", "title": ""})
    assert (report.ref, report.severity, report.title, report.deployment) == ("i1", Severity.WARNING, None, None)
    assert read_incident({"id": "i1", "deployment": ""}).deployment == ""  # removes the link


def test_incident_resolved_before_it_was_opened_is_invalid(at_work: Flask) -> None:
    sent = {"id": "i1", "opened_at": "2024-03-04T10:00Z", "resolved_at": "2024-03-04T09:59Z"}
    assert errors(read_incident, sent) == ["resolved_at"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-03-04T12:00:00Z", NOON),
        ("2024-03-04T14:00:00+02:00", NOON),
        ("2024-03-04T12:00:00", None),
        ("2023-02-29T12:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
    ],
)
def test_parse_time_is_in_utc_and_none_without_a_zone(text: str, moment: datetime | None) -> None:
    assert parse_time(text) == moment


def test_time_of_a_clock_that_is_five_minutes_ahead_is_accepted(at_work: Flask) -> None:
    zone = timezone(timedelta(hours=5))
    read_deployment({**D1, "finished_at": (datetime.now(zone) + timedelta(minutes=4)).isoformat()})
    late = (datetime.now(zone) + timedelta(minutes=6)).isoformat()
    assert errors(read_deployment, {**D1, "finished_at": late}) == ["finished_at"]
