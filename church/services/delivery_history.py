"""What happened in a window, for people: its weeks, its deployments, its incidents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from church.models import DeliveredCommit, Deployment, Incident
from church.models.delivery import DeploymentStatus
from church.services.delivery_facts import delivered_in, finished_in, opened_in
from church.services.delivery_window import Window

MOST_WEEKS = 53
MOST_INCIDENTS = 50


@dataclass(frozen=True)
class DeploymentView:
    """One deployment; ``lead_seconds`` is the median of the commits that it was the first to deliver."""

    ref: str
    status: str
    kind: str
    version: str | None
    commit: str | None
    url: str | None
    finished_at: datetime
    commits: int
    lead_seconds: float | None
    incidents: int

    @property
    def succeeded(self) -> bool:
        """Whether it delivered anything."""
        return self.status == DeploymentStatus.SUCCESS


@dataclass(frozen=True)
class IncidentView:
    """One incident; ``deployment`` is the id of the one whose doing it is, with how sure that is."""

    ref: str
    title: str
    severity: str
    deployment: str | None
    confidence: float | None
    opened_at: datetime
    resolved_at: datetime | None
    seconds: float | None


@dataclass(frozen=True)
class WeekView:
    """A week of the window. ``broken`` are those of the successful deployments that have an incident."""

    start: datetime
    successes: int
    broken: int
    failures: int
    lead_seconds: float | None
    """Median of the commits delivered in it."""


@dataclass(frozen=True)
class History:
    """The window in detail, newest first but for the weeks; ``weeks`` are the last year's, where it is longer."""

    weeks: list[WeekView]
    deployments: list[DeploymentView]
    incidents: list[IncidentView]
    open_incidents: int


def history_of(session: Session, window: Window) -> History:
    """What happened in ``window``."""
    leads: dict[int, list[float]] = defaultdict(list)
    delivered = select(DeliveredCommit.deployment_id, DeliveredCommit.lead_seconds).where(delivered_in(window))
    for deployment_id, seconds in session.execute(delivered):
        leads[deployment_id].append(seconds)
    rows = _deployments(session, window, leads)
    still_open = select(func.count()).where(opened_in(window), Incident.resolved_at.is_(None))
    return History(
        weeks=_weeks(window, rows, leads),
        deployments=[view for _, view in rows],
        incidents=_incidents(session, window),
        open_incidents=session.scalar(still_open) or 0,
    )


def _deployments(session: Session, window: Window, leads: dict[int, list[float]]) -> list[tuple[int, DeploymentView]]:
    broke = (
        select(Incident.deployment_id, func.count().label("incidents"))
        .where(Incident.deployment_id.is_not(None))
        .group_by(Incident.deployment_id)
        .subquery()
    )
    query = (
        select(
            Deployment.id,
            Deployment.ref,
            Deployment.status,
            Deployment.kind,
            Deployment.version,
            Deployment.commit_sha,
            Deployment.url,
            Deployment.finished_at,
            broke.c.incidents,
        )
        .outerjoin(broke, broke.c.deployment_id == Deployment.id)
        .where(finished_in(window))
        .order_by(Deployment.finished_at.desc(), Deployment.id.desc())
    )
    found = []
    for row in session.execute(query):
        own = leads.get(row.id, [])
        view = DeploymentView(
            ref=row.ref,
            status=row.status,
            kind=row.kind,
            version=row.version,
            commit=row.commit_sha,
            url=row.url,
            finished_at=row.finished_at,
            commits=len(own),
            lead_seconds=median(own) if own else None,
            incidents=row.incidents or 0,
        )
        found.append((row.id, view))
    return found


def _weeks(window: Window, rows: Sequence[tuple[int, DeploymentView]], leads: dict[int, list[float]]) -> list[WeekView]:
    by_week: dict[datetime, list[tuple[int, DeploymentView]]] = defaultdict(list)
    weeks = list(window.weeks())[-MOST_WEEKS:]
    oldest_first = iter(reversed(rows))
    row = next(oldest_first, None)
    for start, end in weeks:
        while row is not None and row[1].finished_at < end:
            if row[1].finished_at >= start:
                by_week[start].append(row)
            row = next(oldest_first, None)
    return [_week(start, by_week[start], leads) for start, _ in weeks]


def _week(start: datetime, rows: Sequence[tuple[int, DeploymentView]], leads: dict[int, list[float]]) -> WeekView:
    successes = [view for _, view in rows if view.succeeded]
    seconds = [one for number, _ in rows for one in leads.get(number, [])]
    return WeekView(
        start=start,
        successes=len(successes),
        broken=sum(view.incidents > 0 for view in successes),
        failures=len(rows) - len(successes),
        lead_seconds=median(seconds) if seconds else None,
    )


def _incidents(session: Session, window: Window) -> list[IncidentView]:
    query = (
        select(
            Incident.ref,
            Incident.title,
            Incident.severity,
            Deployment.ref,
            Incident.confidence,
            Incident.opened_at,
            Incident.resolved_at,
            Incident.seconds,
        )
        .outerjoin(Deployment, Deployment.id == Incident.deployment_id)
        .where(opened_in(window))
        .order_by(Incident.opened_at.desc(), Incident.id.desc())
        .limit(MOST_INCIDENTS)
    )
    return [IncidentView(*row) for row in session.execute(query)]
