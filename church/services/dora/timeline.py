"""What charts of the site mark: the deployments and incidents of a time; and what is known of both now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from church.config import current_settings
from church.extensions import db
from church.models import Deployment, Incident

MOST_MARKS = 100
"""Of deployments and of incidents in a time; the newest."""
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
    opened, resolved = Incident.opened_at, Incident.resolved_at
    overlaps = and_(opened < end, resolved > start)
    with db.read() as session:
        deployments = _list_deployments(session, start, end)
        incidents = _list_incidents(session, or_(resolved.is_(None), overlaps))
    return Timeline(
        [one for one in reversed(deployments) if start <= one.at < end],
        [one for one in reversed(incidents) if one.at < end],
        deployments[0] if deployments else None,
        [one for one in incidents if one.until is None][:_MOST_OPEN],
    )


def _list_deployments(session: Session, start: datetime, end: datetime) -> list[DeploymentMark]:
    """List the newest deployments of a time, with the last one of all before them."""
    finished, is_here = Deployment.finished_at, Deployment.environment == current_settings().environments[0]
    newest = finished.desc(), Deployment.id.desc()
    last = select(Deployment.id).where(is_here).order_by(*newest).limit(1).scalar_subquery()
    query = select(finished, Deployment.ref, Deployment.status, Deployment.version)
    wanted = query.where(is_here, or_(and_(finished >= start, finished < end), Deployment.id == last))
    return [DeploymentMark(*row) for row in session.execute(wanted.order_by(*newest).limit(MOST_MARKS + 1))]


def _list_incidents(session: Session, where: ColumnElement[bool]) -> list[IncidentMark]:
    """List the newest incidents that meet a condition."""
    opened = Incident.opened_at
    query = select(opened, Incident.resolved_at, Incident.ref, Incident.title, Incident.severity)
    wanted = query.where(Incident.environment == current_settings().environments[0], where)
    return [IncidentMark(*row) for row in session.execute(wanted.order_by(opened.desc()).limit(MOST_MARKS))]
