"""The job queue on real databases: leases, retries, dead jobs, schedules and held jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from church import jobs
from church.config import Settings
from church.extensions import db
from church.jobs import queue, registry, schedules
from church.jobs.queue import Lease
from church.models import Job, Schedule
from church.models.base import utc_now
from tests.support.helpers import with_settings
from tests.support.services_fixture import wait_until

pytestmark = pytest.mark.services

KINDS = {"test.work"}


@pytest.fixture
def app(patient_database: None, migrated_site: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    monkeypatch.setattr(registry, "_handlers", {"test.work": lambda _payload: None})
    monkeypatch.setattr(registry, "_schedules", {})
    app = Flask("test")
    app.config["CHURCH"] = migrated_site
    db.init_app(app)
    with app.app_context():
        yield app
        db.dispose()


def enqueue(**options: Any) -> None:
    with db.write() as session:
        jobs.enqueue(session, "test.work", {"n": 1}, **options)


def take(seconds: float = 30) -> Lease | None:
    with db.write() as session:
        return queue.take(session, KINDS, seconds)


def taken(seconds: float = 30) -> Lease:
    lease = take(seconds)
    assert lease is not None
    return lease


def settle(change: Callable[..., Any], *arguments: Any) -> Any:
    with db.write() as session:
        return change(session, *arguments)


def all_jobs() -> list[Job]:
    with db.read() as session:
        return list(session.scalars(select(Job).order_by(Job.id)))


def only_job() -> Job:
    [job] = all_jobs()
    return job


def change_all(**values: Any) -> None:
    with db.write() as session:
        session.execute(update(Job).values(**values))


def test_job_exists_only_if_its_transaction_is_committed(app: Flask) -> None:
    with pytest.raises(ZeroDivisionError), db.write() as session:  # noqa: PT012 (the block is the transaction)
        jobs.enqueue(session, "test.work", {})
        raise ZeroDivisionError
    assert all_jobs() == []


def test_job_is_taken_once_and_done(app: Flask) -> None:
    enqueue()
    lease = taken()
    assert (lease.kind, lease.payload, lease.attempt) == ("test.work", {"n": 1}, 1)
    assert take() is None
    assert settle(queue.finish, lease)
    job = only_job()
    assert (job.state, job.lease, job.error) == ("done", None, None)
    assert job.finished_at is not None


def test_delayed_job_is_not_due(app: Flask) -> None:
    enqueue(delay=timedelta(hours=1))
    with db.read() as session:
        assert not queue.is_any_due(session, KINDS)
    assert take() is None
    change_all(run_at=utc_now() - timedelta(seconds=1))
    assert take() is not None


def test_job_of_an_unknown_kind_is_left_to_other_processes(app: Flask) -> None:
    enqueue()
    with db.write() as session:
        assert queue.take(session, {"test.other"}, 30) is None
    assert only_job().state == "pending"


def test_same_key_queues_a_second_job_only_after_the_first_was_taken(app: Flask) -> None:
    enqueue(unique_key="k")
    enqueue(unique_key="k")
    enqueue(unique_key="other")
    assert len(all_jobs()) == 2
    taken()
    enqueue(unique_key="k")
    assert [job.unique_key for job in all_jobs()] == ["k", "other", "k"]


def test_job_with_an_ended_lease_is_taken_again_and_the_old_lease_cannot_finish_it(app: Flask) -> None:
    enqueue()
    stale = taken()
    change_all(leased_until=utc_now() - timedelta(seconds=1))
    fresh = taken()
    assert fresh.job_id == stale.job_id
    assert fresh.attempt == 2
    assert not settle(queue.finish, stale)
    assert settle(queue.fail, stale, "late") is None
    settle(queue.release, stale)
    assert (only_job().state, only_job().lease) == ("running", fresh.token)
    assert settle(queue.finish, fresh)


def test_renew_extends_leases_and_returns_lost_ones(app: Flask) -> None:
    enqueue()
    lease = taken(seconds=1)
    before = only_job().leased_until
    assert settle(queue.renew, {lease.job_id: lease.token}, 3600) == set()
    after = only_job().leased_until
    assert before is not None
    assert after is not None
    assert after > before + timedelta(minutes=30)
    assert settle(queue.renew, {lease.job_id: "stale"}, 3600) == {lease.job_id}


def test_failed_job_backs_off_and_is_dead_with_its_reason(app: Flask) -> None:
    enqueue(max_attempts=3)
    for least, most in ((2, 8), (4, 16)):
        before = utc_now()
        assert settle(queue.fail, taken(), "no luck") == "pending"
        after = utc_now()  # the back-off starts between the two
        due = only_job().run_at
        assert before + timedelta(seconds=least) < due < after + timedelta(seconds=most)
        change_all(run_at=before)
    assert settle(queue.fail, taken(), "no luck\x00" + "x" * 1000) == "dead"
    job = only_job()
    assert job.state == "dead"
    assert job.error is not None
    assert job.error.startswith("no luckx")
    assert len(job.error) <= 500


def test_job_that_kills_its_process_each_time_is_dead_too(app: Flask) -> None:
    enqueue(max_attempts=1)
    taken()
    change_all(leased_until=utc_now() - timedelta(seconds=1))
    assert take() is None
    assert only_job().state == "dead"
    assert only_job().error == "its process died during attempt 1 of 1"


def test_dead_job_is_retried_with_all_its_attempts(app: Flask) -> None:
    enqueue(max_attempts=1)
    lease = taken()
    assert not jobs.retry_job(lease.job_id)
    settle(queue.fail, lease, "broken")
    assert jobs.retry_job(lease.job_id)
    assert (only_job().state, only_job().attempts) == ("pending", 0)
    assert not jobs.retry_job(lease.job_id)


def test_dead_job_with_a_pending_key_is_not_retried(app: Flask) -> None:
    enqueue(max_attempts=1, unique_key="k")
    lease = taken()
    settle(queue.fail, lease, "broken")
    enqueue(unique_key="k")
    assert not jobs.retry_job(lease.job_id)


def test_failed_job_with_a_pending_key_is_retried_without_its_key(app: Flask) -> None:
    enqueue(unique_key="k")
    lease = taken()
    enqueue(unique_key="k")
    assert settle(queue.fail, lease, "broken") == "pending"
    assert [job.unique_key for job in all_jobs()] == [None, "k"]


def test_released_job_is_due_at_once_and_the_attempt_does_not_count(app: Flask) -> None:
    enqueue(max_attempts=1)
    settle(queue.release, taken())
    assert taken().attempt == 1


def test_take_at_once_gives_each_worker_another_job(app: Flask) -> None:
    for _ in range(12):
        enqueue()
    found: list[int] = []

    def worker() -> None:
        with app.app_context():
            while (lease := take()) is not None:
                found.append(lease.job_id)

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(job.id for job in all_jobs())
    assert len(found) == 12


def test_pending_counts_include_every_kind(app: Flask) -> None:
    assert jobs.count_pending_jobs() == {"test.work": 0}
    enqueue()
    enqueue()
    taken()
    assert jobs.count_pending_jobs() == {"test.work": 1}


def test_dead_counts_include_every_kind(app: Flask) -> None:
    assert jobs.count_dead_jobs() == {"test.work": 0}
    for _ in range(2):
        enqueue(max_attempts=1)
        settle(queue.fail, taken(), "again")
    enqueue()
    assert jobs.count_dead_jobs() == {"test.work": 2}


def test_purge_deletes_old_done_jobs_and_keeps_dead_ones(app: Flask) -> None:
    for state, days in (("done", 31), ("done", 29), ("dead", 99)):
        enqueue()
        lease = taken()
        settle(queue.finish, lease)
        with db.write() as session:
            at = utc_now() - timedelta(days=days)
            old = {"state": state, "run_at": at, "finished_at": at}
            session.execute(update(Job).where(Job.id == lease.job_id).values(**old))
    jobs.purge({})
    assert [job.state for job in all_jobs()] == ["done", "dead"]


def test_schedule_is_queued_once_per_period_by_any_process(app: Flask) -> None:
    jobs.schedule("test.work", every=timedelta(hours=1))
    threads = [threading.Thread(target=_look, args=(app,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _look(app)
    assert len(all_jobs()) == 1
    settle(queue.finish, taken())
    with db.write() as session:
        session.execute(update(Schedule).values(next_at=utc_now() - timedelta(minutes=150)))
    _look(app)
    _look(app)
    assert [job.state for job in all_jobs()] == ["done", "pending"]
    with db.read() as session:
        due = session.scalars(select(Schedule.next_at)).one() - utc_now()
    assert timedelta(minutes=25) < due <= timedelta(minutes=30)


def test_schedule_with_a_changed_period_uses_it(app: Flask) -> None:
    jobs.schedule("test.work", every=timedelta(days=30))
    _look(app)
    jobs.schedule("test.work", every=timedelta(minutes=1))
    _look(app)
    with db.read() as session:
        row = session.scalars(select(Schedule)).one()
    assert row.every_seconds == 60
    assert row.next_at <= utc_now() + timedelta(minutes=1)


def _look(app: Flask) -> None:
    with app.app_context():
        schedules.queue_due_schedules(db)


def test_held_job_is_taken_by_no_other_and_done_at_the_end(app: Flask) -> None:
    enqueue(unique_key="mine", delay=timedelta(hours=1))
    with jobs.hold_job("mine") as lease:
        assert lease is not None
        assert only_job().state == "running"
        with jobs.hold_job("mine") as second:
            assert second is None
    assert only_job().state == "done"


def test_held_job_returns_to_the_queue_when_its_body_raises(app: Flask) -> None:
    enqueue(unique_key="mine")
    with pytest.raises(KeyboardInterrupt), jobs.hold_job("mine"):
        raise KeyboardInterrupt
    assert (only_job().state, only_job().attempts) == ("pending", 0)


def test_held_job_keeps_its_lease(app: Flask) -> None:
    app.config["CHURCH"] = with_settings(app.config["CHURCH"], jobs_lease=0.3)
    enqueue(unique_key="mine")
    with jobs.hold_job("mine"):
        first = only_job().leased_until
        wait_until(lambda: only_job().leased_until != first, "the lease is renewed")
