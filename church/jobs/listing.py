"""List and count jobs for admins, without their payloads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.database.paging import NEWEST, ListPage, Place, count_up_to, fetch_page
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


def list_jobs(session: Session, state: JobState | None = None, place: Place = NEWEST) -> ListPage[JobView]:
    """List jobs, newest first, optionally of one state."""
    query = select(Job)
    if state is not None:
        query = query.where(Job.state == state.value)
    return fetch_page(session, query, Job.id, Job.created_at, place).convert(lambda row: _view(row[0]))


def count_by_state(session: Session) -> dict[JobState, int]:
    """Count jobs by state; of each at most one more than ``MOST_COUNTED``."""
    counted = [count_up_to(select(Job.id).where(Job.state == state.value).order_by(Job.id)) for state in JobState]
    return dict(zip(JobState, session.execute(select(*counted)).one(), strict=True))


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
