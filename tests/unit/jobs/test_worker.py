"""The worker process, in this process: what it does with a job that returns, raises or does not end."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from church import jobs, telemetry
from church.database import ChangeWatch, change_watch
from church.errors import UnavailableError
from church.extensions import db
from church.jobs import queue, registry, worker
from church.jobs.work_signal import WorkSignal
from church.models.base import utc_now
from church.models.jobs import Job, JobState
from tests.support.helpers import captured_log
from tests.support.services_fixture import wait_until

log = logging.getLogger("church.test")


@contextmanager
def working(app: Flask, monkeypatch: pytest.MonkeyPatch, run: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Run a worker whose only handler is ``run``, with one job queued."""
    monkeypatch.setattr(registry, "_handlers", {"test.work": run})
    with db.write() as session:
        jobs.enqueue(session, "test.work", {"n": 1}, max_attempts=1)
    with running(app):
        yield


@contextmanager
def running(app: Flask) -> Iterator[None]:
    """Run a worker."""
    stop = threading.Event()
    thread = threading.Thread(target=worker.run_worker, args=(app, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def job() -> Job:
    """The one job of the queue."""
    with db.read() as session:
        return session.scalars(select(Job)).one()


def test_job_that_returns_is_done(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    payloads: list[dict[str, Any]] = []
    with captured_log() as log, working(app, monkeypatch, payloads.append):
        wait_until(lambda: job().state == JobState.DONE, "the job is done")
    assert payloads == [{"n": 1}]
    events = [record.get("event") for record in log.records]
    assert [event for event in events if event] == ["jobs.started", "job.done", "jobs.stopped"]


def test_record_of_a_job_names_it_and_the_request_that_queued_it(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_payload: dict[str, Any]) -> None:
        log.info("worked", extra={"event": "test.worked"})
        with db.write() as session:
            jobs.enqueue(session, "test.next", delay=timedelta(days=1))

    monkeypatch.setattr(registry, "_handlers", {"test.work": run, "test.next": print})
    observation = telemetry.begin_request({"REQUEST_METHOD": "GET"})
    with db.write() as session:
        jobs.enqueue(session, "test.work")
    observation.leave()
    observation.finish()
    first = job()
    with captured_log() as sink, running(app):
        wait_until(lambda: any(record["event"] == "job.done" for record in sink.records), "the job is done")
    facts = {"request_id": observation.request_id, "job_id": first.id, "job_kind": "test.work"}
    for event in ("test.worked", "job.done"):
        (record,) = (record for record in sink.records if record["event"] == event)
        assert {name: record[name] for name in facts} == facts
    (stopped,) = (record for record in sink.records if record["event"] == "jobs.stopped")
    assert facts.keys().isdisjoint(stopped)
    with db.read() as session:
        assert session.scalars(select(Job.request_id).where(Job.kind == "test.next")).one() == observation.request_id


def test_record_of_a_job_that_no_request_queued_has_an_id_of_its_own(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with captured_log() as sink, working(app, monkeypatch, lambda _payload: None):
        wait_until(lambda: any(record["event"] == "job.done" for record in sink.records), "the job is done")
    (record,) = (record for record in sink.records if record["event"] == "job.done")
    assert record["job_id"]
    assert re.fullmatch(r"[0-9a-f]{24}", record["request_id"])


def test_record_of_a_failed_job_has_class_and_fingerprint_and_no_route(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_payload: dict[str, Any]) -> None:
        raise LookupError("no such thing")

    with captured_log() as sink, working(app, monkeypatch, run):
        wait_until(lambda: job().state == JobState.DEAD, "the job is dead")
    (record,) = (record for record in sink.records if record["event"] == "job.dead")
    assert (record["error_type"], record["job_kind"], record["attempt"]) == ("LookupError", "test.work", 1)
    assert len(record["fingerprint"]) == 16
    assert "route" not in record


def test_memory_of_jobs_is_given_back_when_no_other_is_due(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(worker, "free_memory", lambda: ran.append("gave back"))
    with working(app, monkeypatch, lambda _payload: ran.append("job")):
        wait_until(lambda: "gave back" in ran, "the memory is given back")
    assert ran == ["job", "gave back"]


def test_job_that_raises_is_dead_after_its_last_attempt_with_the_reason(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_payload: dict[str, Any]) -> None:
        raise LookupError("no such thing")

    with captured_log() as log, working(app, monkeypatch, run):
        wait_until(lambda: job().state == JobState.DEAD, "the job is dead")
    assert job().error == "LookupError: no such thing"
    assert "job.dead" in [record.get("event") for record in log.records]


def test_job_that_does_not_end_returns_to_the_queue_at_the_stop(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def run(_payload: dict[str, Any]) -> None:
        entered.set()
        go_on.wait(60)

    monkeypatch.setattr(worker, "STOP_WAIT", 0.0)
    with working(app, monkeypatch, run):
        assert entered.wait(60)
        assert job().state == JobState.RUNNING
    assert (job().state, job().attempts) == (JobState.PENDING, 0)
    go_on.set()
    wait_until(lambda: not any(one.name.startswith("jobs-") for one in threading.enumerate()), "the threads have ended")


def test_job_is_not_taken_by_a_thread_that_looked_before_the_stop(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be one that the worker has just given back."""
    stop = threading.Event()
    monkeypatch.setattr(registry, "_handlers", {"test.work": print})
    monkeypatch.setattr(queue, "is_any_due", lambda *_: stop.set() or True)  # type: ignore[func-returns-value]
    with db.write() as session:
        jobs.enqueue(session, "test.work", {"n": 1})
    with app.app_context():
        assert worker._JobWorker(app, stop)._take({"test.work"}) is None
    assert job().state == JobState.PENDING


def test_outage_while_a_job_is_finished_is_waited_for(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    outages = [UnavailableError(), UnavailableError()]
    finish = queue.finish

    def failing(session: Any, lease: queue.Lease) -> bool:
        if outages:
            raise outages.pop()
        return finish(session, lease)

    monkeypatch.setattr(queue, "finish", failing)
    monkeypatch.setattr(worker, "uniform", lambda *_: 0.001)
    runs: list[dict[str, Any]] = []
    with working(app, monkeypatch, runs.append):
        wait_until(lambda: job().state == JobState.DONE, "the job is done")
    assert (outages, len(runs)) == ([], 1)


# -- waking up ---------------------------------------------------------------------------------------------------------


class Looks:
    """The looks at the queue that a worker has made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._look = queue.find_next_time
        monkeypatch.setattr(queue, "find_next_time", self)

    def __call__(self, session: Session, accepted: Collection[str]) -> datetime | None:
        self.count += 1
        return self._look(session, accepted)


@pytest.fixture
def payloads(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The payloads of the jobs that were run; no worker looks for a commit by itself."""
    ran: list[dict[str, Any]] = []
    monkeypatch.setattr(registry, "_handlers", {"test.work": ran.append})
    monkeypatch.setattr(change_watch, "POLL", 600.0)
    return ran


def test_job_queued_by_this_process_runs_at_once(
    app: Flask, monkeypatch: pytest.MonkeyPatch, payloads: list[dict[str, Any]]
) -> None:
    looks = Looks(monkeypatch)
    with running(app):
        wait_until(lambda: looks.count > 0, "the worker has looked")
        for number in range(3):
            with db.write() as session:
                jobs.enqueue(session, "test.work", {"n": number})
            wait_until(lambda number=number: len(payloads) == number + 1, "the job has run")  # type: ignore[misc]


def test_job_due_later_runs_when_it_is_due(app: Flask, payloads: list[dict[str, Any]]) -> None:
    with db.write() as session:
        jobs.enqueue(session, "test.work", delay=timedelta(seconds=0.2))
    with running(app):
        wait_until(lambda: job().state == JobState.DONE, "the job has run")
    finished = job().finished_at
    assert finished is not None
    assert finished >= job().run_at
    assert payloads == [{}]


def test_schedule_due_later_is_queued_when_it_is_due(app: Flask, payloads: list[dict[str, Any]]) -> None:
    registry.schedule("test.work", timedelta(seconds=0.2))
    with running(app):
        wait_until(lambda: len(payloads) >= 3, "the job has run in three periods")


def test_job_queued_by_another_process_runs_after_its_commit_and_an_idle_worker_asks_nothing(
    app: Flask, monkeypatch: pytest.MonkeyPatch, payloads: list[dict[str, Any]]
) -> None:
    polls: list[int] = []
    version = change_watch._data_version
    monkeypatch.setattr(change_watch, "_data_version", lambda one: polls.append(1) or version(one))  # type: ignore[func-returns-value]
    monkeypatch.setattr(change_watch, "POLL", 0.01)
    looks = Looks(monkeypatch)
    with running(app):
        wait_until(lambda: len(polls) > 5, "the worker is idle")
        before, seen = looks.count, len(polls)
        wait_until(lambda: len(polls) > seen + 10, "it has polled")
        assert looks.count == before
        now = utc_now()
        with db.write() as session:
            values = {"kind": "test.work", "payload": {"n": 7}, "max_attempts": 1, "run_at": now, "created_at": now}
            session.execute(insert(Job).values(**values))
        wait_until(lambda: payloads == [{"n": 7}], "the job has run")


def test_idle_thread_learns_of_what_was_sent_while_it_was_busy() -> None:
    signal = WorkSignal()
    seen = signal.count
    signal.send()
    signal.wait(seen)  # returns at once
    waiting = threading.Thread(target=signal.wait, args=(signal.count,), daemon=True)
    waiting.start()
    signal.send()
    waiting.join(60)
    assert not waiting.is_alive()


class StillWatch(ChangeWatch):
    """A watch that notices nothing; each wait sets the clock on by ``step`` seconds."""

    def __init__(self, clock: SimpleNamespace, step: float) -> None:
        self._clock, self._step = clock, step
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self._clock.mono += 1.0
        self._clock.wall += self._step
        return False


@pytest.mark.parametrize(("step", "waits"), [(1.0, 5), (3601.0, 1), (-3600.0, 1)])
def test_wait_ends_when_the_clock_is_set(app: Flask, monkeypatch: pytest.MonkeyPatch, step: float, waits: int) -> None:
    clock = SimpleNamespace(mono=100.0, wall=1_000_000.0)
    clock.monotonic, clock.time = lambda: clock.mono, lambda: clock.wall
    monkeypatch.setattr(worker, "time", clock)
    watch = StillWatch(clock, step)
    worker._JobWorker(app, threading.Event())._wait_for_change(watch, 5.0)
    assert len(watch.waits) == waits


def test_outage_is_waited_for_by_the_watcher(
    app: Flask, monkeypatch: pytest.MonkeyPatch, payloads: list[dict[str, Any]]
) -> None:
    outages = [UnavailableError(), UnavailableError()]
    find = queue.find_next_time

    def failing(session: Session, accepted: Collection[str]) -> datetime | None:
        if outages:
            raise outages.pop()
        return find(session, accepted)

    monkeypatch.setattr(queue, "find_next_time", failing)
    monkeypatch.setattr(worker, "uniform", lambda *_: 0.001)
    with running(app):
        wait_until(lambda: not outages, "the outage is over")
        with db.write() as session:
            jobs.enqueue(session, "test.work", {"n": 1})
        wait_until(lambda: payloads == [{"n": 1}], "the job has run")


def test_watcher_goes_on_after_an_error_that_nobody_expects(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    look, failed = queue.find_next_time, threading.Event()

    def fail_once(session: Session, accepted: Collection[str]) -> datetime | None:
        if failed.is_set():
            return look(session, accepted)
        failed.set()
        raise LookupError("nobody expects this")

    monkeypatch.setattr(queue, "find_next_time", fail_once)
    monkeypatch.setattr(worker, "POLL", 0.01)
    payloads: list[dict[str, Any]] = []
    with captured_log() as log:
        monkeypatch.setattr(registry, "_handlers", {"test.work": payloads.append})
        with running(app):
            wait_until(failed.is_set, "the watcher has failed")
            with db.write() as session:
                jobs.enqueue(session, "test.work", {"n": 1})
            wait_until(lambda: bool(payloads), "the job has run")
    assert "jobs.watch_failed" in [record.get("event") for record in log.records]
