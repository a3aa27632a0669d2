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
    """What happened, oldest first."""

    deployments: list[DeploymentMark]
    incidents: list[IncidentMark]


@dataclass(frozen=True)
class DeliveryNow:
    """The last deployment, None before the first, and the incidents that are open, the newest first."""

    last: DeploymentMark | None
    open_incidents: list[IncidentMark]


def read_timeline(start: datetime, end: datetime) -> Timeline:
    """Read what the charts of a time mark, of the first environment. Raises DatabaseDownError, DatabaseBusyError."""
    finished, opened, resolved = Deployment.finished_at, Incident.opened_at, Incident.resolved_at
    overlaps = (opened < end, or_(resolved.is_(None), resolved > start))
    with db.read() as session:
        deployments = _list_deployments(session, MOST_MARKS, finished >= start, finished < end)
        incidents = _list_incidents(session, MOST_MARKS, *overlaps)
    return Timeline(deployments[::-1], incidents[::-1])


def read_delivery_now() -> DeliveryNow:
    """Read the last deployment and the open incidents of the first environment. Raises as ``read_timeline``."""
    with db.read() as session:
        last = _list_deployments(session, 1)
        return DeliveryNow(
            last[0] if last else None, _list_incidents(session, _MOST_OPEN, Incident.resolved_at.is_(None))
        )


def _list_deployments(session: Session, most: int, *where: ColumnElement[bool]) -> list[DeploymentMark]:
    """List the newest deployments that meet all conditions."""
    finished = Deployment.finished_at
    query = select(finished, Deployment.ref, Deployment.status, Deployment.version)
    wanted = query.where(Deployment.environment == current_settings().environments[0], *where)
    return [DeploymentMark(*row) for row in session.execute(wanted.order_by(finished.desc()).limit(most))]


def _list_incidents(session: Session, most: int, *where: ColumnElement[bool]) -> list[IncidentMark]:
    """List the newest incidents that meet all conditions."""
    opened = Incident.opened_at
    query = select(opened, Incident.resolved_at, Incident.ref, Incident.title, Incident.severity)
    wanted = query.where(Incident.environment == current_settings().environments[0], *where)
    return [IncidentMark(*row) for row in session.execute(wanted.order_by(opened.desc()).limit(most))]
