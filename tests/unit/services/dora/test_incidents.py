"""Incidents: opening, changing and resolving them, and their link to a deployment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from church.errors import FieldErrors
from church.extensions import db
from church.models import Incident
from church.models.dora import DeploymentStatus, Severity
from church.services.dora import incidents, record_deployment, record_incident
from church.services.dora.schemas import DeploymentReport, IncidentReport

NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OPENED = IncidentReport("i1", "production", "Broken", opened_at=NOON)


def deploy(
    ref: str, at: datetime, environment: str = "production", status: DeploymentStatus = DeploymentStatus.SUCCESS
) -> None:
    record_deployment(DeploymentReport(ref, environment, status, at))


def row() -> Incident:
    with db.read() as session:
        return session.query(Incident).one()


def refused(report: IncidentReport) -> list[str]:
    with pytest.raises(FieldErrors) as caught:
        record_incident(report)
    return list(caught.value.errors)


def test_incident_is_opened_updated_and_resolved_once(at_work: Flask) -> None:
    opened = record_incident(OPENED)
    assert (opened.outcome, opened.is_new, opened.severity) == ("opened", True, "critical")
    assert record_incident(OPENED).outcome == "unchanged"
    changed = record_incident(IncidentReport("i1", title="Slow", severity=Severity.WARNING))
    assert (changed.outcome, changed.is_new, changed.severity) == ("updated", False, "warning")
    assert record_incident(IncidentReport("i1", resolved_at=NOON + HOUR)).outcome == "resolved"
    assert (row().title, row().seconds) == ("Slow", 3600)


def test_incident_without_what_a_new_one_needs_is_refused(at_work: Flask) -> None:
    assert refused(IncidentReport("i1", title="Broken")) == ["environment"]
    assert refused(IncidentReport("i1")) == ["environment", "title"]


def test_incident_that_is_new_and_resolved_is_not_open_meanwhile(at_work: Flask) -> None:
    found = record_incident(IncidentReport("i1", "production", "Broken", resolved_at=NOON))
    assert (found.outcome, found.opened_at, row().seconds) == ("resolved", NOON, 0)


def test_incident_cannot_move_to_another_environment(at_work: Flask) -> None:
    record_incident(OPENED)
    assert refused(IncidentReport("i1", "staging")) == ["environment"]


def test_link_to_a_named_deployment_is_certain_until_it_is_removed(at_work: Flask) -> None:
    deploy("d1", NOON - HOUR)
    linked = record_incident(IncidentReport("i1", "production", "Broken", deployment="d1", opened_at=NOON))
    assert (linked.deployment, linked.confidence) == ("d1", 1.0)
    removed = record_incident(IncidentReport("i1", deployment=""))
    assert (removed.deployment, removed.confidence) == (None, None)


@pytest.mark.parametrize("ref", ["none", "elsewhere", "later"])
def test_link_to_a_deployment_that_cannot_be_the_cause_is_refused(at_work: Flask, ref: str) -> None:
    deploy("elsewhere", NOON - HOUR, "staging")
    deploy("later", NOON + HOUR)
    assert refused(IncidentReport("i1", "production", "Broken", deployment=ref, opened_at=NOON)) == ["deployment"]


def test_incident_cannot_be_opened_before_the_deployment_that_caused_it(at_work: Flask) -> None:
    deploy("d1", NOON)
    record_incident(IncidentReport("i1", "production", "Broken", deployment="d1", opened_at=NOON))
    assert refused(IncidentReport("i1", opened_at=NOON - HOUR)) == ["opened_at"]


def test_guessed_link_is_the_last_success_and_less_certain_with_time(at_work: Flask) -> None:
    deploy("old", NOON - 3 * HOUR)
    deploy("last", NOON - HOUR)
    deploy("failed", NOON, status=DeploymentStatus.FAILURE)
    deploy("elsewhere", NOON, "staging")
    with db.read() as session:
        found = [
            incidents.guess_deployment(session, "production", NOON + late, 4 * HOUR)["confidence"]
            for late in (-HOUR, 0 * HOUR, 2 * HOUR, 4 * HOUR)
        ]
    assert found == [1.0, 0.75, 0.25, None]
