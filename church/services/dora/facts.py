"""What the rows say of a window: a few narrow questions, each answered from an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from church.models import DeliveredCommit, Deployment, Incident
from church.models.delivery import DeploymentKind, DeploymentStatus
from church.services.dora.figures import Facts
from church.services.dora.window import Window

SUCCESSFUL = Deployment.status == DeploymentStatus.SUCCESS.value
HOTFIX = Deployment.kind == DeploymentKind.HOTFIX.value
BROKEN = select(Incident.id).where(Incident.deployment_id == Deployment.id).exists()
"""Whether a deployment has an incident; several are one."""


def finished_in(window: Window) -> ColumnElement[bool]:
    """Deployments that belong to the window."""
    return _within(Deployment.environment, Deployment.finished_at, window)


def opened_in(window: Window) -> ColumnElement[bool]:
    """Incidents that belong to it."""
    return _within(Incident.environment, Incident.opened_at, window)


def delivered_in(window: Window) -> ColumnElement[bool]:
    """Commits that belong to it."""
    return _within(DeliveredCommit.environment, DeliveredCommit.delivered_at, window)


def _within(environment: Any, at: Any, window: Window) -> ColumnElement[bool]:
    return and_(environment == window.environment, at >= window.start, at < window.end)


def leads_of(session: Session, window: Window) -> list[tuple[int, float]]:
    """Of each commit of ``window`` the number of its deployment and the seconds: they may be tens of thousands.

    Read past the session, whose rows take three times as long to make.
    """
    query = select(DeliveredCommit.deployment_id, DeliveredCommit.lead_seconds).where(delivered_in(window))
    return [(row[0], row[1]) for row in session.connection().execute(query)]


def facts_of(session: Session, window: Window, leads: Sequence[tuple[int, float]]) -> Facts:
    """Everything that the figures of ``window`` are made of; ``leads`` are those of ``leads_of``."""
    ever = select(Deployment.id).where(
        Deployment.environment == window.environment, Deployment.finished_at < window.end
    )
    counted = select(func.count(), func.count().filter(HOTFIX), func.count().filter(BROKEN))
    successes, hotfixes, broken = session.execute(
        counted.select_from(Deployment).where(finished_in(window), SUCCESSFUL)
    ).one()
    resolved = (
        select(Incident.seconds, Incident.resolved_at, Deployment.finished_at)
        .outerjoin(Deployment, Deployment.id == Incident.deployment_id)
        .where(opened_in(window), Incident.resolved_at.is_not(None))
    )
    incidents = session.execute(resolved).all()
    return Facts(
        ever=session.execute(ever.limit(1)).first() is not None,
        successes=successes,
        hotfixes=hotfixes,
        broken=broken,
        leads=[seconds for _, seconds in leads],
        repairs=[row.seconds for row in incidents],
        recoveries=[
            max(0.0, (row.resolved_at - row.finished_at).total_seconds()) for row in incidents if row.finished_at
        ],
    )
