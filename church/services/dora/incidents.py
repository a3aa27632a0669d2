"""Record incidents: open them, change them, resolve them once, and link them to the deployment that caused them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from church import telemetry
from church.database.upsert import insert_for
from church.errors import FieldErrors
from church.extensions import db
from church.models import Deployment, Incident
from church.models.base import utc_now
from church.models.dora import DeploymentStatus, Severity
from church.services.dora.schemas import SKEW, IncidentReport

_INCIDENTS: Any = Incident.__table__


@dataclass(frozen=True)
class IncidentOutcome:
    """An incident after a report; ``outcome`` is opened, updated, resolved or unchanged."""

    ref: str
    outcome: str
    environment: str
    severity: str
    deployment: str | None
    confidence: float | None
    opened_at: datetime
    resolved_at: datetime | None
    is_new: bool = False


def record_incident(report: IncidentReport) -> IncidentOutcome:
    """Open an incident, or change the one with the same id. Raises FieldErrors.

    A resolved incident stays resolved: late or repeated reports do not open it again.
    """
    with telemetry.span("delivery.record_incident"), db.write() as session:
        recorded = _record(session, report)
    track_outcome(recorded)
    return recorded


def track_outcome(recorded: IncidentOutcome) -> None:
    """Count and log the outcome. Call it after the commit."""
    if recorded.outcome == "opened":
        telemetry.track_incident(recorded.environment, recorded.severity, incident=recorded.ref)
    if recorded.outcome == "resolved" and recorded.resolved_at is not None:
        seconds = (recorded.resolved_at - recorded.opened_at).total_seconds()
        telemetry.track_incident_resolution(recorded.environment, recorded.severity, seconds, incident=recorded.ref)


def _record(session: Session, report: IncidentReport) -> IncidentOutcome:
    existing = session.scalar(select(Incident).where(Incident.ref == report.ref).with_for_update())
    if existing is not None:
        return _change(session, existing, report)
    _require_new_fields(report)
    row = {
        "ref": report.ref,
        "environment": report.environment,
        "title": report.title,
        "severity": (report.severity or Severity.CRITICAL).value,
        "opened_at": report.opened_at or min(utc_now(), report.resolved_at or utc_now()),
        "resolved_at": report.resolved_at,
        **_link(session, report.deployment, str(report.environment), report.opened_at),
    }
    added = add_incident(session, row)
    if added is None:  # another request has just added it
        return _record(session, report)
    return replace(make_outcome(session, added, "resolved" if added.resolved_at else "opened"), is_new=True)


def _require_new_fields(report: IncidentReport) -> None:
    missing = [name for name in ("environment", "title") if getattr(report, name) is None]
    if missing:
        raise FieldErrors(dict.fromkeys(missing, "This is missing, and no incident has this id yet."))


def add_incident(session: Session, row: dict[str, Any]) -> Incident | None:
    """Insert an incident. Returns None if its id exists, or its alert has an open incident."""
    values = {"deployment_id": None, "confidence": None, "fingerprint": None, **row}
    values |= {"seconds": repair_seconds(row["opened_at"], row["resolved_at"]), "changes": 0, "recorded_at": utc_now()}
    incident_id = session.scalar(
        insert_for(session, _INCIDENTS).values(values).on_conflict_do_nothing().returning(_INCIDENTS.c.id)
    )
    return session.get(Incident, incident_id) if incident_id is not None else None


def _change(session: Session, row: Incident, report: IncidentReport) -> IncidentOutcome:
    if report.environment not in {None, row.environment}:
        raise FieldErrors({"environment": f"The incident belongs to {row.environment} and cannot move."})
    was_open = row.resolved_at is None
    reported: dict[str, Any] = {
        "title": report.title,
        "severity": report.severity.value if report.severity else None,
        "opened_at": report.opened_at,
        "resolved_at": report.resolved_at,
    }
    opened_at = report.opened_at or row.opened_at
    changed = {name: value for name, value in reported.items() if value not in {None, getattr(row, name)}}
    if report.deployment is not None:
        link = _link(session, report.deployment, row.environment, opened_at)
        changed |= {name: value for name, value in link.items() if value != getattr(row, name)}
    elif "opened_at" in changed:
        _require_opened_after(session, row.deployment_id, opened_at)
    if (ended := changed.get("resolved_at", row.resolved_at)) is not None and ended < opened_at:
        raise FieldErrors({"resolved_at": "This is before the incident was opened."})
    apply_changes(row, changed)
    session.flush()
    resolved = was_open and row.resolved_at is not None
    return make_outcome(session, row, "resolved" if resolved else "updated" if changed else "unchanged")


def apply_changes(row: Incident, changed: dict[str, Any]) -> None:
    """Change a locked row, and update its ``seconds``."""
    for name, value in changed.items():
        setattr(row, name, value)
    if changed:
        row.seconds = repair_seconds(row.opened_at, row.resolved_at)
        row.changes += 1


def repair_seconds(opened_at: datetime, resolved_at: datetime | None) -> float | None:
    """Return the seconds from opened to resolved; None while it is open."""
    return (resolved_at - opened_at).total_seconds() if resolved_at is not None else None


def _link(session: Session, ref: str | None, environment: str, opened_at: datetime | None) -> dict[str, Any]:
    """Make the link to the deployment that a report names as the cause, with confidence 1. Raises FieldErrors."""
    if not ref:
        return {"deployment_id": None, "confidence": None}
    found = session.scalar(select(Deployment).where(Deployment.ref == ref))
    if found is None:
        raise FieldErrors({"deployment": "There is no deployment with this id."})
    if found.environment != environment:
        raise FieldErrors({"deployment": f"This deployment went to {found.environment}, not to {environment}."})
    if opened_at is not None and opened_at < _began(found):
        raise FieldErrors({"deployment": "The incident was opened before this deployment began."})
    return {"deployment_id": found.id, "confidence": 1.0}


def _require_opened_after(session: Session, deployment_id: int | None, opened_at: datetime) -> None:
    """Refuse to move an incident to before the deployment that caused it. Raises FieldErrors."""
    cause = session.get(Deployment, deployment_id) if deployment_id is not None else None
    if cause is not None and opened_at < _began(cause):
        raise FieldErrors({"opened_at": f"This is before {cause.ref} began, which caused it."})


def _began(deployment: Deployment) -> datetime:
    return (deployment.started_at or deployment.finished_at) - SKEW


def guess_deployment(session: Session, environment: str, opened_at: datetime, window: timedelta) -> dict[str, Any]:
    """Make the link to the last successful deployment before the incident, if it is within ``window``.

    The confidence falls linearly from 1, right after the deployment, to 0 at the end of the window.
    """
    query = (
        select(Deployment.id, Deployment.finished_at)
        .where(
            Deployment.environment == environment,
            Deployment.status == DeploymentStatus.SUCCESS.value,
            Deployment.finished_at <= opened_at,
            Deployment.finished_at >= opened_at - window,
        )
        .order_by(Deployment.finished_at.desc(), Deployment.id.desc())
        .limit(1)
    )
    found = session.execute(query).first()
    if found is None:
        return {"deployment_id": None, "confidence": None}
    return {"deployment_id": found.id, "confidence": round(1 - (opened_at - found.finished_at) / window, 3)}


def make_outcome(session: Session, row: Incident, outcome: str) -> IncidentOutcome:
    """Make the answer to a report from a row."""
    ref = session.scalar(select(Deployment.ref).where(Deployment.id == row.deployment_id))
    return IncidentOutcome(
        ref=row.ref,
        outcome=outcome,
        environment=row.environment,
        severity=row.severity,
        deployment=ref,
        confidence=row.confidence,
        opened_at=row.opened_at,
        resolved_at=row.resolved_at,
    )
