"""Deployments written down: each once, and with it which commits it was the first to bring to its environment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from church import telemetry
from church.database.upsert import add_once
from church.extensions import db
from church.models import DeliveredCommit, Deployment
from church.models.base import utc_now
from church.models.dora import DeploymentStatus
from church.services.dora.schemas import DeploymentReport

_BATCH = 100  # deployments that one transaction writes
_DELIVERED: Any = DeliveredCommit.__table__


def record_deployment(report: DeploymentReport) -> bool:
    """Write a deployment down; False, and nothing changes, where its id is known. Raises DatabaseDownError, …Busy…."""
    return record_deployments([report]) == 1


def record_deployments(reports: Sequence[DeploymentReport]) -> int:
    """Write many down, a transaction for each hundred; how many were not known yet."""
    new: list[DeploymentReport] = []
    for first in range(0, len(reports), _BATCH):
        batch = reports[first : first + _BATCH]
        with telemetry.span("delivery.record_deployment"), db.write() as session:
            added = [report for report in batch if _add(session, report)]
        for report in added:
            telemetry.track_deployment(report.environment, report.status, report.kind, deployment=report.ref)
        new += added
    return len(new)


def _add(session: Session, report: DeploymentReport) -> bool:
    commits = [{"sha": one.sha, "committed_at": one.committed_at.isoformat()} for one in report.commits]
    made = add_once(
        session,
        Deployment,
        "ref",
        {
            "ref": report.ref,
            "environment": report.environment,
            "status": report.status.value,
            "kind": report.kind.value,
            "version": report.version,
            "commit_sha": report.commit,
            "commits": commits,
            "url": report.url,
            "started_at": report.started_at,
            "finished_at": report.finished_at,
            "recorded_at": utc_now(),
        },
    )
    if made is not None and report.status == DeploymentStatus.SUCCESS and report.commits:
        rows = list(_delivered(made, report))
        session.execute(_deliver(session.get_bind().dialect.name), rows)
    return made is not None


def _delivered(deployment_id: int, report: DeploymentReport) -> Iterable[dict[str, Any]]:
    """In the order of their names, so that two transactions that bring the same commits never wait for each other."""
    for commit in sorted(report.commits, key=lambda one: one.sha):
        yield {
            "environment": report.environment,
            "sha": commit.sha,
            "deployment_id": deployment_id,
            "committed_at": commit.committed_at,
            "delivered_at": report.finished_at,
            "lead_seconds": max(0.0, (report.finished_at - commit.committed_at).total_seconds()),
        }


@cache
def _deliver(dialect: str) -> Executable:
    """The first delivery wins, by when it finished, in whichever order they are told."""
    statement: Any = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(_DELIVERED)
    taken = ("deployment_id", "committed_at", "delivered_at", "lead_seconds")
    return statement.on_conflict_do_update(  # type: ignore[no-any-return]
        index_elements=["environment", "sha"],
        set_={name: statement.excluded[name] for name in taken},
        where=statement.excluded.delivered_at < _DELIVERED.c.delivered_at,
    )
