"""The job queue: leases, retries and back-off."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from church import jobs
from church.database import database_now
from church.extensions import db
from church.jobs import queue
from church.jobs.queue import Lease
from church.models.jobs import Job, JobState


def test_enqueue_unknown_kind_raises_before_it_uses_the_database() -> None:
    with pytest.raises(jobs.UnknownKindError, match=r"'test\.typo'; registered kinds: .*jobs\.purge"):
        jobs.enqueue(None, "test.typo", {})  # type: ignore[arg-type]


def enqueue(**options: Any) -> None:
    """Queue a job in a transaction of its own."""
    with db.write() as session:
        jobs.enqueue(session, "test.work", {"n": 1}, **options)


def take(seconds: float = 30) -> Lease:
    """Lease the next job, for ``seconds``."""
    with db.write() as session:
        lease = queue.take(session, {"test.work"}, seconds)
    assert lease is not None
    return lease


def only_job() -> Job:
    """The one job of the queue."""
    with db.read() as session:
        return session.scalars(select(Job)).one()


def test_lease_of_a_finished_job_is_lost(app: Flask) -> None:
    enqueue()
    lease = take()
    with db.write() as session:
        assert queue.finish(session, lease)
        assert not queue.finish(session, lease)
        assert queue.renew(session, {lease.job_id: lease.token}, 30) == {lease.job_id}
    assert only_job().state == JobState.DONE


def test_expired_lease_is_taken_by_another_process_and_lost_by_the_first(app: Flask) -> None:
    enqueue()
    first, second = take(seconds=-1), take()
    assert (second.job_id, second.attempt) == (first.job_id, 2)
    with db.write() as session:
        assert not queue.finish(session, first)
        assert queue.fail(session, first, "too late") is None
    assert only_job().state == JobState.RUNNING


def test_failed_job_waits_longer_after_each_attempt_and_then_is_dead(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "uniform", lambda *_: 1.0)
    enqueue(max_attempts=3)
    waits = []
    for _ in range(2):
        lease = take()
        with db.write() as session:
            now = database_now(session)
            assert queue.fail(session, lease, "x" * 600) is JobState.PENDING
        waits.append(round((only_job().run_at - now).total_seconds()))
        with db.write() as session:
            session.query(Job).update({"run_at": now})
    lease = take()
    with db.write() as session:
        assert queue.fail(session, lease, "for good") is JobState.DEAD
    assert waits == [5, 10]
    assert only_job().error == "for good"


def test_released_job_is_due_again_and_its_attempt_does_not_count(app: Flask) -> None:
    enqueue()
    lease = take()
    with db.write() as session:
        queue.release(session, lease)
    assert take().attempt == 1


def test_dead_job_is_retried_unless_its_key_is_pending(app: Flask) -> None:
    enqueue(unique_key="k", max_attempts=1)
    lease = take()
    with db.write() as session:
        queue.fail(session, lease, "broken")
        jobs.enqueue(session, "test.work", unique_key="k")
        assert not queue.retry(session, lease.job_id)
        session.query(Job).filter(Job.id != lease.job_id).delete()
        assert queue.retry(session, lease.job_id)
        assert not queue.retry(session, lease.job_id)
    assert (only_job().state, only_job().attempts) == (JobState.PENDING, 0)


def test_purge_deletes_only_jobs_that_were_done_long_ago(app: Flask) -> None:
    enqueue()
    enqueue()
    lease = take()
    with db.write() as session:
        queue.finish(session, lease)
    assert queue.purge(timedelta(hours=1)) == 0
    assert queue.purge(timedelta(seconds=-1)) == 1
    assert only_job().state == JobState.PENDING


def test_held_job_is_done_after_the_body_and_queued_again_after_an_error(app: Flask) -> None:
    enqueue(unique_key="k")
    with pytest.raises(ZeroDivisionError), queue.hold_job("k"):
        raise ZeroDivisionError
    assert (only_job().state, only_job().attempts) == (JobState.PENDING, 0)
    with queue.hold_job("k") as lease:
        assert lease is not None
        with queue.hold_job("k") as other:
            assert other is None
    assert only_job().state == JobState.DONE


def test_reason_of_a_failure_has_no_secrets(app: Flask) -> None:
    enqueue()
    lease = take()
    with db.write() as session:
        queue.fail(session, lease, "no email to ada@church.example, password=five wooden ladders")
    assert only_job().error == "no email to [hidden], password=[hidden]"
