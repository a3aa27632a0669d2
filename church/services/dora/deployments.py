"""Record deployments, each once, and the commits that each was the first to deliver to its environment."""

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

_BATCH = 100  # deployments per transaction
_DELIVERED: Any = DeliveredCommit.__table__


def record_deployment(report: DeploymentReport) -> bool:
    """Record a deployment. Returns False, and changes nothing, if its id exists.

    Raises DatabaseDownError, DatabaseBusyError.
    """
    return record_deployments([report]) == 1


def record_deployments(reports: Sequence[DeploymentReport]) -> int:
    """Record many deployments, a hundred in each transaction. Returns how many were new."""
    new: list[DeploymentReport] = []
    for first in range(0, len(reports), _BATCH):
        batch = reports[first : first + _BATCH]
        with telemetry.span("delivery.record_deployment"), db.write() as session:
            added = [report for report in batch if _add(session, report)]
        for report in added:
            telemetry.track_deployment(report.environment, report.status, report.kind, deployment=report.ref)
            if report.ignored:
                telemetry.track_delivery_items_ignored("commit", [item.reason for item in report.ignored])
        new += added
    return len(new)


def _add(session: Session, report: DeploymentReport) -> bool:
    commits = [{"sha": commit.sha, "committed_at": commit.committed_at.isoformat()} for commit in report.commits]
    deployment_id = add_once(
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
    if deployment_id is not None and report.status == DeploymentStatus.SUCCESS and report.commits:
        rows = list(_delivered_rows(deployment_id, report))
        session.execute(_insert_delivered(session.get_bind().dialect.name), rows)
    return deployment_id is not None


def _delivered_rows(deployment_id: int, report: DeploymentReport) -> Iterable[dict[str, Any]]:
    """Make the rows in the order of their sha, so that two transactions with the same commits cannot deadlock."""
    for commit in sorted(report.commits, key=lambda commit: commit.sha):
        yield {
            "environment": report.environment,
            "sha": commit.sha,
            "deployment_id": deployment_id,
            "committed_at": commit.committed_at,
            "delivered_at": report.finished_at,
            "lead_seconds": max(0.0, (report.finished_at - commit.committed_at).total_seconds()),
        }


@cache
def _insert_delivered(dialect: str) -> Executable:
    """Insert delivered commits. The delivery that finished first wins, in any order of the reports."""
    statement: Any = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(_DELIVERED)
    columns = ("deployment_id", "committed_at", "delivered_at", "lead_seconds")
    return statement.on_conflict_do_update(  # type: ignore[no-any-return]
        index_elements=["environment", "sha"],
        set_={name: statement.excluded[name] for name in columns},
        where=statement.excluded.delivered_at < _DELIVERED.c.delivered_at,
    )
