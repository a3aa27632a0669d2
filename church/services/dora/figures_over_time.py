"""The history of a window for the page of deliveries: its weeks, deployments and incidents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from church import telemetry
from church.config import current_settings
from church.extensions import db
from church.models import DeliveredCommit, Deployment, Incident
from church.models.dora import DeploymentStatus
from church.services.dora.figures import (
    Figure,
    Window,
    compute_figures,
    delivered_in,
    finished_in,
    opened_in,
    read_facts,
)

MOST_WEEKS = 53
MOST_DEPLOYMENTS = 400
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
        """Whether it delivered its commits."""
        return self.status == DeploymentStatus.SUCCESS


@dataclass(frozen=True)
class IncidentView:
    """One incident; ``deployment`` is the id of its cause, ``confidence`` (0 to 1) how certain that is."""

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
    """A week of the window; ``broken`` counts the successful deployments that caused an incident."""

    start: datetime
    successes: int
    broken: int
    failures: int
    lead_seconds: float | None
    """Median lead time of the commits delivered in it."""


@dataclass(frozen=True)
class History:
    """The window in detail: weeks oldest first, at most the last 53; deployments and incidents newest first.

    ``deployments`` are the newest 400 of ``deployment_count``, ``incidents`` the newest 50 of ``incident_count``.
    """

    weeks: list[WeekView]
    deployments: list[DeploymentView]
    deployment_count: int
    incidents: list[IncidentView]
    incident_count: int
    open_incidents: int


@dataclass(frozen=True, slots=True)
class _Deployed:
    """The facts of a deployment that a week needs."""

    id: int
    finished_at: datetime
    succeeded: bool


@dataclass(frozen=True)
class DoraOverview:
    """The figures of a window, and what they are computed from."""

    figures: dict[str, Figure]
    history: History


def read_overview(window: Window) -> DoraOverview:
    """Read figures and history of a window in one transaction. Raises DatabaseDownError, DatabaseBusyError."""
    with telemetry.span("delivery.overview"), db.read() as session:
        facts, history = read_facts(session, window), read_history(session, window)
    return DoraOverview(compute_figures(facts, window.days, current_settings().dora_edition), history)


def read_history(session: Session, window: Window) -> History:
    """Read the history of ``window``: only what is shown of it, however long it is."""
    weeks = list(window.weeks())[-MOST_WEEKS:]
    newest = _newest(session, window)
    since = min(weeks[0][0], newest[-1].finished_at) if newest else weeks[0][0]
    shown = replace(window, start=max(since, window.start))
    leads, incidents = _leads(session, shown), _count_incidents(session, shown)
    counted = select(func.count(), func.count().filter(Incident.resolved_at.is_(None)))
    opened, still_open = session.execute(counted.select_from(Incident).where(opened_in(window))).one()
    deployments = select(func.count()).select_from(Deployment).where(finished_in(window))
    return History(
        weeks=_weeks(weeks, _deployed(session, shown), leads, incidents),
        deployments=[_deployment_view(row, leads.get(row.id, ()), incidents.get(row.id, 0)) for row in newest],
        deployment_count=session.scalar(deployments) or 0,
        incidents=_incidents(session, window),
        incident_count=opened,
        open_incidents=still_open,
    )


def _leads(session: Session, window: Window) -> Mapping[int, Sequence[float]]:
    """Read the lead times of the window's commits by deployment, without the session: they can be thousands."""
    leads: dict[int, list[float]] = defaultdict(list)
    query = select(DeliveredCommit.deployment_id, DeliveredCommit.lead_seconds).where(delivered_in(window))
    for deployment_id, seconds in session.connection().execute(query):
        leads[deployment_id].append(seconds)
    return leads


def _count_incidents(session: Session, window: Window) -> dict[int, int]:
    """Count the incidents that each of the window's deployments caused."""
    caused = select(Deployment.id, func.count()).join(Incident, Incident.deployment_id == Deployment.id)
    counted = caused.where(finished_in(window)).group_by(Deployment.id)
    return {row[0]: row[1] for row in session.connection().execute(counted)}


def _deployed(session: Session, window: Window) -> list[_Deployed]:
    """Read all deployments of the window, oldest first, without the session, as they can be thousands."""
    query = select(Deployment.id, Deployment.finished_at, Deployment.status).where(finished_in(window))
    rows = session.connection().execute(query.order_by(Deployment.finished_at, Deployment.id))
    return [_Deployed(row[0], row[1], row[2] == DeploymentStatus.SUCCESS) for row in rows]


def _newest(session: Session, window: Window) -> list[Row[Any]]:
    columns = (
        Deployment.id, Deployment.ref, Deployment.status, Deployment.kind, Deployment.version, Deployment.commit_sha,
        Deployment.url, Deployment.finished_at,
    )  # fmt: skip
    newest = select(*columns).where(finished_in(window)).order_by(Deployment.finished_at.desc(), Deployment.id.desc())
    return list(session.connection().execute(newest.limit(MOST_DEPLOYMENTS)))


def _deployment_view(row: Row[Any], leads: Sequence[float], incidents: int) -> DeploymentView:
    return DeploymentView(
        ref=row.ref,
        status=row.status,
        kind=row.kind,
        version=row.version,
        commit=row.commit_sha,
        url=row.url,
        finished_at=row.finished_at,
        commits=len(leads),
        lead_seconds=median(leads) if leads else None,
        incidents=incidents,
    )


def _weeks(
    weeks: Sequence[tuple[datetime, datetime]],
    deployed: Sequence[_Deployed],
    leads: Mapping[int, Sequence[float]],
    incidents: Mapping[int, int],
) -> list[WeekView]:
    by_week: dict[datetime, list[_Deployed]] = defaultdict(list)
    oldest_first = iter(deployed)
    deployment = next(oldest_first, None)
    for start, end in weeks:
        while deployment is not None and deployment.finished_at < end:
            if deployment.finished_at >= start:
                by_week[start].append(deployment)
            deployment = next(oldest_first, None)
    return [_week(start, by_week[start], leads, incidents) for start, _ in weeks]


def _week(
    start: datetime,
    deployed: Sequence[_Deployed],
    leads: Mapping[int, Sequence[float]],
    incidents: Mapping[int, int],
) -> WeekView:
    successes = [deployment for deployment in deployed if deployment.succeeded]
    seconds = [lead for deployment in deployed for lead in leads.get(deployment.id, ())]
    return WeekView(
        start=start,
        successes=len(successes),
        broken=sum(deployment.id in incidents for deployment in successes),
        failures=len(deployed) - len(successes),
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
