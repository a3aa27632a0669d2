"""List and count jobs for admins, without their payloads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from church.database.paging import newest_first
from church.models.jobs import Job, JobState


@dataclass(frozen=True)
class JobView:
    """One job, without its payload. ``reason`` explains why the last attempt failed."""

    id: int
    kind: str
    state: JobState
    attempts: int
    max_attempts: int
    reason: str | None
    run_at: datetime
    created_at: datetime
    finished_at: datetime | None
    request_id: str | None


def list_jobs(
    session: Session, state: JobState | None = None, before_id: int | None = None, limit: int = 50
) -> list[JobView]:
    """List jobs, newest first: those older than ``before_id``, if given, and of one state, if given."""
    query = newest_first(select(Job), Job.id, before_id, limit)
    if state is not None:
        query = query.where(Job.state == state.value)
    return [_view(job) for job in session.scalars(query)]


def count_by_state(session: Session) -> dict[JobState, int]:
    """Count jobs by state."""
    rows = session.execute(select(Job.state, func.count()).group_by(Job.state))
    return dict.fromkeys(JobState, 0) | {JobState(state): count for state, count in rows}


def _view(job: Job) -> JobView:
    return JobView(
        id=job.id,
        kind=job.kind,
        state=JobState(job.state),
        attempts=job.attempts,
        max_attempts=job.max_attempts,
        reason=job.error,
        run_at=job.run_at,
        created_at=job.created_at,
        finished_at=job.finished_at,
        request_id=job.request_id,
    )
