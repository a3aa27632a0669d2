"""What charts of the site mark: the deployments and incidents of a time; and what is known of both now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from church.config import current_settings
from church.extensions import db
from church.models import Deployment, Incident

MOST_MARKS = 100
"""Of deployments and of incidents; the newest of all."""
_MOST_OPEN = 20


@dataclass(frozen=True)
class DeploymentMark:
    """A deployment when it had finished."""

    at: datetime
    ref: str
    status: str
    version: str | None


@dataclass(frozen=True)
class IncidentMark:
    """An incident; ``until`` is None while it is open."""

    at: datetime
    until: datetime | None
    ref: str
    title: str
    severity: str


@dataclass(frozen=True)
class Timeline:
    """What happened in a time, oldest first; and what is so now: the last deployment, and the newest open incidents."""

    deployments: list[DeploymentMark]
    incidents: list[IncidentMark]
    last: DeploymentMark | None
    open_incidents: list[IncidentMark]


def read_timeline(start: datetime, end: datetime) -> Timeline:
    """Read what the charts of a time mark, of the first environment. Raises DatabaseDownError, DatabaseBusyError."""
    resolved = Incident.resolved_at
    with db.read() as session:
        deployments = _list_deployments(session)
        incidents = _list_incidents(session, or_(resolved.is_(None), resolved > start))
    return Timeline(
        [one for one in reversed(deployments) if start <= one.at < end],
        [one for one in reversed(incidents) if one.at < end],
        deployments[0] if deployments else None,
        [one for one in incidents if one.until is None][:_MOST_OPEN],
    )


def _list_deployments(session: Session) -> list[DeploymentMark]:
    """List the newest deployments."""
    finished = Deployment.finished_at
    query = select(finished, Deployment.ref, Deployment.status, Deployment.version)
    wanted = query.where(Deployment.environment == current_settings().environments[0])
    return [DeploymentMark(*row) for row in session.execute(wanted.order_by(finished.desc()).limit(MOST_MARKS))]


def _list_incidents(session: Session, where: ColumnElement[bool]) -> list[IncidentMark]:
    """List the newest incidents that meet a condition."""
    opened = Incident.opened_at
    query = select(opened, Incident.resolved_at, Incident.ref, Incident.title, Incident.severity)
    wanted = query.where(Incident.environment == current_settings().environments[0], where)
    return [IncidentMark(*row) for row in session.execute(wanted.order_by(opened.desc()).limit(MOST_MARKS))]
