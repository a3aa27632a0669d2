"""Background jobs: a queue in the database with leases and retries, schedules, and the process that runs them.

A service queues a job inside its own transaction, so that the job exists if and only if its cause was committed::

    @jobs.handler("mail.send")
    def send(payload): ...

    with db.write() as session:
        jobs.enqueue(session, "mail.send", {"message": message.id})

Jobs run at least once: a job whose process was killed runs again when its lease ends.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from church.database import kept_sums
from church.database.paging import NEWEST, ListPage, Place
from church.extensions import db
from church.jobs import listing, queue
from church.jobs.listing import JobView
from church.jobs.queue import enqueue, hold_job
from church.jobs.registry import UnknownKindError, every, handler, schedule
from church.jobs.worker import run_worker
from church.models.jobs import Job, JobState

__all__ = [
    "JobView",
    "UnknownKindError",
    "count_by_state",
    "count_dead_jobs",
    "count_pending_jobs",
    "enqueue",
    "every",
    "handler",
    "hold_job",
    "list_dead_jobs",
    "list_jobs",
    "retry_job",
    "run_worker",
    "schedule",
]

KEEP_DONE = timedelta(days=30)

log = logging.getLogger("church.jobs")


def count_pending_jobs() -> dict[str, int]:
    """Count pending jobs by kind, for metrics. Raises DatabaseDownError and DatabaseBusyError."""
    with db.read() as session:
        return queue.count_by_kind(session, JobState.PENDING)


def count_dead_jobs() -> dict[str, int]:
    """Count jobs without attempts left by kind, for metrics. Raises DatabaseDownError and DatabaseBusyError."""
    with db.read() as session:
        return queue.count_by_kind(session, JobState.DEAD)


def list_jobs(state: JobState | None = None, place: Place = NEWEST) -> ListPage[JobView]:
    """List jobs, newest first, optionally of one state."""
    with db.read() as session:
        return listing.list_jobs(session, state, place)


def count_by_state() -> dict[JobState, int]:
    """Count jobs by state."""
    with db.read() as session:
        return listing.count_by_state(session)


def list_dead_jobs() -> list[Job]:
    """List jobs without attempts left, oldest first, at most a hundred."""
    with db.read() as session:
        return queue.list_dead_jobs(session)


def retry_job(job_id: int) -> bool:
    """Queue a dead job again. Returns False if it is not dead, or its key is queued already."""
    with db.write() as session:
        return queue.retry(session, job_id)


@every(timedelta(days=1), "jobs.purge")
def purge(_payload: dict[str, Any]) -> None:
    """Delete jobs that were done more than 30 days ago. Dead jobs stay until an admin retries them."""
    count = queue.purge(KEEP_DONE)
    log.info("deleted old finished jobs", extra={"event": "jobs.purged", "count": count})


@every(timedelta(minutes=10), "sums.add_up")
def add_up_sums(_payload: dict[str, Any]) -> None:
    """Join the rows of the kept sums. PostgreSQL gets some more with each change."""
    kept_sums.add_up(db)
