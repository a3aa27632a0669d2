"""The job queue: enqueue, lease, renew, finish and retry jobs, each inside the caller's transaction.

A job is taken with a lease: a token, and a time until which no other process takes it. Finishing a job needs the token,
so that a process that overslept its lease can't finish a job that another process runs by then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import uniform
from typing import Any
from uuid import uuid4

from flask import Flask, current_app
from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from church import telemetry
from church.config import current_settings
from church.database import database_now
from church.database.batches import delete_in_batches
from church.database.upsert import count_rows, insert_or_ignore
from church.errors import UnavailableError
from church.extensions import db
from church.jobs import work_signal
from church.jobs.registry import find_handler, registered_kinds
from church.models.jobs import PENDING_ONLY, Job, JobState

log = logging.getLogger("church.jobs")

_FIRST_RETRY = 5.0  # seconds
_MAX_RETRY = 3600.0
_MAX_REASON = 500  # characters


@dataclass(frozen=True)
class Lease:
    """A job that was taken, and the token needed to finish it."""

    job_id: int
    token: str
    kind: str
    payload: dict[str, Any]
    attempt: int
    request_id: str | None
    traceparent: str | None
    waited: float = 0.0
    """Seconds from when it was due to when it was taken."""


def enqueue(
    session: Session,
    kind: str,
    payload: dict[str, Any] | None = None,
    *,
    unique_key: str | None = None,
    delay: timedelta = timedelta(0),
    max_attempts: int = 5,
) -> None:
    """Queue a job in the caller's write transaction; it exists if and only if that is committed.

    While a job with the same ``unique_key`` is pending, no second one is queued. Raises UnknownKindError.
    """
    find_handler(kind)
    now = database_now(session)
    values = {
        "kind": kind,
        "payload": payload or {},
        "unique_key": unique_key,
        "state": JobState.PENDING.value,
        "attempts": 0,
        "max_attempts": max_attempts,
        "run_at": now + delay,
        "created_at": now,
        "request_id": telemetry.request_id(),
        "traceparent": telemetry.traceparent(),
    }
    insert_or_ignore(session, Job, values, unique=["unique_key"], where=PENDING_ONLY)
    work_signal.wake_after(session)


def is_any_due(session: Session, accepted: Collection[str]) -> bool:
    """Whether a job is due. Only reads, so that an idle queue locks nothing."""
    due = _due(database_now(session), accepted)
    return session.scalars(select(Job.id).where(due).limit(1)).first() is not None


def find_next_time(session: Session, accepted: Collection[str]) -> datetime | None:
    """When the next job is due, or the lease of a running one ends; a time in the past is due now. None: no job."""
    pending = session.scalars(_NEXT_PENDING, {"kinds": list(accepted)}).first()
    leased = session.scalars(_NEXT_LEASED, {"kinds": list(accepted)}).first()
    return min((moment for moment in (pending, leased) if moment is not None), default=None)


def take(session: Session, accepted: Collection[str], seconds: float) -> Lease | None:
    """Lease the job that has been due longest, or one whose process died. Returns None if none is due."""
    now = database_now(session)
    # SQLite ignores the row lock, and has one writer at a time anyway.
    due = select(Job).where(_due(now, accepted)).order_by(Job.run_at, Job.id).limit(1).with_for_update(skip_locked=True)
    while (job := session.scalars(due).first()) is not None:
        if job.attempts < job.max_attempts:
            return _lease(job, now, seconds)
        job.state, job.lease, job.leased_until, job.finished_at = JobState.DEAD.value, None, None, now
        job.error = f"its process died during attempt {job.attempts} of {job.max_attempts}"
        session.flush()
    return None


def take_by_key(session: Session, unique_key: str, seconds: float) -> Lease | None:
    """Lease the pending job with a key, due or not. Returns None if another process has it."""
    pending = select(Job).where(Job.unique_key == unique_key, Job.state == JobState.PENDING.value)
    job = session.scalars(pending.with_for_update(skip_locked=True)).first()
    return _lease(job, database_now(session), seconds) if job is not None else None


def is_queued(session: Session, unique_key: str) -> bool:
    """Whether a job with this key is pending or running."""
    alive = Job.state.in_([JobState.PENDING.value, JobState.RUNNING.value])
    return session.scalars(select(Job.id).where(Job.unique_key == unique_key, alive).limit(1)).first() is not None


def _lease(job: Job, now: datetime, seconds: float) -> Lease:
    job.state = JobState.RUNNING.value
    job.attempts += 1
    job.lease = uuid4().hex
    job.leased_until = now + timedelta(seconds=seconds)
    waited = max(0.0, (now - job.run_at).total_seconds())
    return Lease(job.id, job.lease, job.kind, job.payload, job.attempts, job.request_id, job.traceparent, waited)


def _due(now: datetime, accepted: Collection[str]) -> ColumnElement[bool]:
    return and_(
        Job.kind.in_(accepted),
        or_(
            and_(Job.state == JobState.PENDING.value, Job.run_at <= now),
            and_(Job.state == JobState.RUNNING.value, Job.leased_until <= now),
        ),
    )


def renew(session: Session, tokens: dict[int, str], seconds: float) -> set[int]:
    """Extend leases, given as token by job ID. Returns the IDs of jobs whose lease is lost."""
    until = database_now(session) + timedelta(seconds=seconds)
    return {job_id for job_id, token in tokens.items() if not _change(session, job_id, token, {"leased_until": until})}


def finish(session: Session, lease: Lease) -> bool:
    """Mark the job as done. Returns False if the lease is lost."""
    done = {"state": JobState.DONE.value, "finished_at": database_now(session), "error": None}
    return _change(session, lease.job_id, lease.token, done | _UNLEASED)


def fail(session: Session, lease: Lease, reason: str) -> JobState | None:
    """Schedule another attempt, or mark the job dead after the last one.

    Returns the new state, or None if the lease is lost.
    """
    job = _find_leased(session, lease)
    if job is None:
        return None
    now = database_now(session)
    job.error = telemetry.redact_text(reason)[:_MAX_REASON]
    job.lease = job.leased_until = None
    if job.attempts >= job.max_attempts:
        job.state, job.finished_at = JobState.DEAD.value, now
    else:
        jitter = uniform(0.5, 1.5)  # noqa: S311 (not a secret)
        back_off = min(_MAX_RETRY, _FIRST_RETRY * 2 ** (job.attempts - 1)) * jitter
        _make_pending(session, job, now + timedelta(seconds=back_off))
    return JobState(job.state)


def release(session: Session, lease: Lease) -> None:
    """Give an unfinished job back to the queue, because its process stops. The attempt does not count."""
    job = _find_leased(session, lease)
    if job is not None:
        job.attempts -= 1
        job.lease = job.leased_until = None
        _make_pending(session, job, database_now(session))


def retry(session: Session, job_id: int) -> bool:
    """Queue a dead job again, with all its attempts. Returns False if it is not dead, or its key is pending."""
    dead = select(Job).where(Job.id == job_id, Job.state == JobState.DEAD.value).with_for_update()
    job = session.scalars(dead).first()
    if job is None or _is_pending(session, job.unique_key):
        return False
    job.attempts, job.finished_at = 0, None
    _make_pending(session, job, database_now(session))
    return True


def count_by_kind(session: Session, state: JobState) -> dict[str, int]:
    """Count jobs in ``state`` by kind. Registered kinds without jobs count 0."""
    query = select(Job.kind, func.count().label("jobs")).where(Job.state == state.value).group_by(Job.kind)
    return dict.fromkeys(registered_kinds(), 0) | {row.kind: row.jobs for row in session.execute(query)}


def list_dead_jobs(session: Session, limit: int = 100) -> list[Job]:
    """List jobs without attempts left, oldest first. They are usable after the session has ended."""
    jobs = list(session.scalars(select(Job).where(Job.state == JobState.DEAD.value).order_by(Job.id).limit(limit)))
    session.expunge_all()
    return jobs


def purge(older_than: timedelta) -> int:
    """Delete jobs that were done longer ago, in batches. Returns how many."""
    with db.read() as session:
        before = database_now(session) - older_than
    # A job is done after it was due, so the index on due times leads to it.
    due = [Job.state == JobState.DONE.value, Job.run_at < before]
    return delete_in_batches(db, Job.id, Job.finished_at < before, along=Job.run_at, within=due)


_OF_KINDS = Job.kind.in_(bindparam("kinds", expanding=True))
_NEXT_PENDING = select(Job.run_at).where(Job.state == JobState.PENDING.value, _OF_KINDS).order_by(Job.run_at).limit(1)
_NEXT_LEASED = select(func.min(Job.leased_until)).where(Job.state == JobState.RUNNING.value, _OF_KINDS)

_UNLEASED = {"lease": None, "leased_until": None}


def _is_leased(job_id: int, token: str) -> ColumnElement[bool]:
    return and_(Job.id == job_id, Job.lease == token, Job.state == JobState.RUNNING.value)


def _find_leased(session: Session, lease: Lease) -> Job | None:
    return session.scalars(select(Job).where(_is_leased(lease.job_id, lease.token)).with_for_update()).first()


def _change(session: Session, job_id: int, token: str, values: dict[str, Any]) -> bool:
    return count_rows(session.execute(update(Job).where(_is_leased(job_id, token)).values(**values))) == 1


def _is_pending(session: Session, unique_key: str | None) -> bool:
    same = select(Job.id).where(Job.unique_key == unique_key, Job.state == JobState.PENDING.value)
    return unique_key is not None and session.scalars(same).first() is not None


def _make_pending(session: Session, job: Job, run_at: datetime) -> None:
    """Make a job pending again, without its key if a newer pending job has the same one."""
    if _is_pending(session, job.unique_key):
        job.unique_key = None
    job.state, job.run_at = JobState.PENDING.value, run_at
    session.flush()
    work_signal.wake_after(session)


@contextmanager
def hold_job(unique_key: str) -> Iterator[Lease | None]:
    """Take the pending job with a key and run it in the body; None if the worker process has it already.

    An exception of the body gives the job back to the queue and is raised again. If this process is killed, the job
    runs again when its lease ends.
    """
    with db.write() as session:
        lease = take_by_key(session, unique_key, current_settings().jobs_lease)
    if lease is None:
        yield None
        return
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    ended = threading.Event()
    renewer = threading.Thread(target=_keep_renewing, args=(app, lease, ended), name="jobs-held", daemon=True)
    renewer.start()
    try:
        observing = telemetry.observe_job(lease.kind, lease.job_id, lease.request_id)
        with observing as observed, observed.run(lease.traceparent, lease.waited):
            yield lease
    except BaseException:
        with suppress(UnavailableError, SQLAlchemyError), db.write() as session:  # on failure the lease runs out
            release(session, lease)
        raise
    else:
        with db.write() as session:
            finish(session, lease)
    finally:
        ended.set()
        renewer.join()


def _keep_renewing(app: Flask, lease: Lease, ended: threading.Event) -> None:
    seconds = app.config["CHURCH"].jobs_lease
    while not ended.wait(seconds / 3):
        try:
            with app.app_context(), db.write() as session:
                renew(session, {lease.job_id: lease.token}, seconds)
        except (UnavailableError, SQLAlchemyError) as error:
            facts = {"event": "jobs.database", "reason": type(error).__name__}
            log.warning("lease not renewed, trying again", extra=facts)
