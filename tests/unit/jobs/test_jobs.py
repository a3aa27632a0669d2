"""The jobs of the site, through the face of the package."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask

from church import jobs
from church.extensions import db
from church.jobs import registry
from church.models.base import utc_now
from church.models.jobs import Job, JobState


def test_done_jobs_are_purged_daily() -> None:
    assert registry.registered_schedules()["jobs.purge"] == timedelta(days=1)


def test_counts_are_by_kind_and_include_kinds_without_jobs(app: Flask) -> None:
    with db.write() as session:
        jobs.enqueue(session, "test.work")
    assert jobs.count_pending_jobs() == {"test.work": 1}
    assert jobs.count_dead_jobs() == {"test.work": 0}


def test_dead_job_is_listed_until_it_is_retried(app: Flask) -> None:
    with db.write() as session:
        jobs.enqueue(session, "test.work")
        session.query(Job).update({"state": JobState.DEAD.value})
    [dead] = jobs.list_dead_jobs()
    assert jobs.retry_job(dead.id)
    assert not jobs.retry_job(dead.id)
    assert jobs.list_dead_jobs() == []
    assert jobs.count_by_state()[JobState.PENDING] == 1


def test_purge_deletes_jobs_done_more_than_thirty_days_ago(app: Flask) -> None:
    for days in (29, 31):
        with db.write() as session:
            jobs.enqueue(session, "test.work", {"days": days})
            at = utc_now() - timedelta(days=days)
            ended = {"state": JobState.DONE.value, "run_at": at, "finished_at": at}
            session.query(Job).filter(Job.state == JobState.PENDING.value).update(ended)
    jobs.purge({})
    assert [job.id for job in jobs.list_jobs()] == [1]
