"""Background work: a queue in the database with leases and retries, a schedule, and the process that does it.

A service queues inside its own transaction, so that the work exists if and only if its cause was committed::

    @jobs.handler("mail.send")
    def send(payload): ...

    with db.write() as session:
        jobs.enqueue(session, "mail.send", {"message": message.id})

Jobs are done at least once: a job whose process was killed is done again when its lease ends.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from church.extensions import db
from church.jobs import listing, queue
from church.jobs.listing import JobView
from church.jobs.queue import enqueue, hold_job
from church.jobs.registry import UnknownKindError, every, handler, schedule
from church.jobs.worker import work
from church.models.jobs import Job, JobState

__all__ = [
    "JobView",
    "UnknownKindError",
    "dead",
    "dead_counts",
    "enqueue",
    "every",
    "handler",
    "hold_job",
    "listed",
    "pending_counts",
    "retry",
    "schedule",
    "state_counts",
    "work",
]

KEEP_DONE = timedelta(days=30)

log = logging.getLogger("church.jobs")


def pending_counts() -> dict[str, int]:
    """How many jobs of each kind wait; for the scrape. Raises DatabaseDownError, DatabaseBusyError."""
    with db.read() as session:
        return queue.counts(session, JobState.PENDING)


def dead_counts() -> dict[str, int]:
    """How many jobs of each kind are out of attempts; for the scrape. Raises as ``pending_counts``."""
    with db.read() as session:
        return queue.counts(session, JobState.DEAD)


def listed(state: JobState | None = None, before_id: int | None = None, limit: int = 50) -> list[JobView]:
    """The newest jobs, or those older than ``before_id``; of one state, if asked."""
    with db.read() as session:
        return listing.listed(session, state, before_id, limit)


def state_counts() -> dict[JobState, int]:
    """How many jobs are in each state."""
    with db.read() as session:
        return listing.state_counts(session)


def dead() -> list[Job]:
    """The jobs that are out of attempts, oldest first, with the reason of the last one; at most a hundred."""
    with db.read() as session:
        return queue.dead(session)


def retry(job_id: int) -> bool:
    """Queue a dead job once more; False when it is not dead or the same work is queued already."""
    with db.write() as session:
        return queue.retry(session, job_id)


@every(timedelta(days=1), "jobs.purge")
def purge(_payload: dict[str, Any]) -> None:
    """Forget jobs that were done more than 30 days ago; dead ones stay until somebody has looked."""
    with db.write() as session:
        count = queue.purge(session, KEEP_DONE)
    log.info("done jobs purged", extra={"event": "jobs.purged", "count": count})
