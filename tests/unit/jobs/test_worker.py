"""The worker process, in this process: what it does with a job that returns, raises or does not end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from church import jobs
from church.errors import UnavailableError
from church.extensions import db
from church.jobs import queue, registry, worker
from church.models.jobs import Job, JobState
from tests.support.helpers import captured_log
from tests.support.services_fixture import wait_until


@contextmanager
def working(app: Flask, monkeypatch: pytest.MonkeyPatch, run: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Run a worker whose only handler is ``run``, with one job queued."""
    monkeypatch.setattr(registry, "_handlers", {"test.work": run})
    monkeypatch.setattr(worker, "_STOP_POLL", 0.01)
    with db.write() as session:
        jobs.enqueue(session, "test.work", {"n": 1}, max_attempts=1)
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
