"""Real worker processes: killed, suspended, stopped, and cut off from the database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import insert, select

from church import jobs
from church.config import Settings
from church.database import DatabaseBusyError
from church.extensions import db
from church.models import Job
from church.models.base import utc_now
from tests.support.services_fixture import Postgres, site_settings, wait_until

pytestmark = pytest.mark.services

Start = Callable[..., "subprocess.Popen[bytes]"]

# Waits practically for ever for running jobs, so that a worker that ends did not wait, however slow the machine is.
_WORKER = """
import runpy
from church.jobs import worker
worker.STOP_WAIT = 3600.0
runpy.run_module("tests.support.worker_process", run_name="__main__")
"""


@pytest.fixture
def app(migrated_site: Settings) -> Iterator[Flask]:
    app = Flask("test")
    app.config["CHURCH"] = migrated_site
    db.init_app(app)
    with app.app_context():
        yield app
        db.dispose()


@pytest.fixture
def start(app: Flask, tmp_path: Path) -> Iterator[Start]:
    """Start a worker process; what still runs at the end is killed.

    ``lease``: in seconds. A short one is for who is to lose it: any process may sleep through it on a busy machine.
    """
    site: Settings = app.config["CHURCH"]
    places = {"CHURCH_INSTANCE": str(site.instance), "CHURCH_JOBS_THREADS": "1"}
    url = site.database_url.get_secret_value() if site.database_url else ""
    environment = {**os.environ, **places, "DATABASE_URL": url}
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, lease: int = 300) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", _WORKER, str(tmp_path), name]
        own = {**environment, "CHURCH_JOBS_LEASE": str(lease)}
        process = subprocess.Popen(command, env=own, stderr=subprocess.DEVNULL)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def enqueue(kind: str, n: int = 1, max_attempts: int = 5) -> None:
    now = utc_now()
    values = {"kind": kind, "payload": {"n": n}, "max_attempts": max_attempts, "run_at": now, "created_at": now}
    with db.write() as session:
        session.execute(insert(Job).values(**values))


def states() -> dict[str, str]:
    with db.read() as session:
        found = session.execute(select(Job.kind, Job.state).where(Job.kind.startswith("test.")))
        return {row.kind: row.state for row in found}


def lines(tmp_path: Path, name: str) -> list[str]:
    path = tmp_path / name
    return path.read_text().splitlines() if path.exists() else []


def test_job_of_a_killed_process_runs_again_once(app: Flask, start: Start, tmp_path: Path) -> None:
    enqueue("test.hold")
    first = start("first", lease=2)
    wait_until(lambda: lines(tmp_path, "started") == ["first 1"], "the first process works")
    first.kill()
    first.wait()
    start("second")
    start("third")
    wait_until(lambda: len(lines(tmp_path, "started")) == 2, "the job is taken again")
    (tmp_path / "go").touch()
    wait_until(lambda: states() == {"test.hold": "done"}, "the job is done")
    assert len(lines(tmp_path, "started")) == 2
    assert len(lines(tmp_path, "finished")) == 1


def threads(process: subprocess.Popen[bytes]) -> int:
    return len(os.listdir(f"/proc/{process.pid}/task"))


def falls_asleep(process: subprocess.Popen[bytes]) -> bool:
    """Suspend ``process``. If it holds the writers' lock at that moment, let it continue and try another moment."""
    process.send_signal(signal.SIGSTOP)
    stat = Path(f"/proc/{process.pid}/stat")
    wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "the process is stopped")
    try:
        with db.write() as session:
            session.execute(select(1))
    except DatabaseBusyError:
        process.send_signal(signal.SIGCONT)
        return False
    return True


def test_process_that_overslept_its_lease_cannot_finish_the_job(app: Flask, start: Start, tmp_path: Path) -> None:
    enqueue("test.hold")
    first = start("first", lease=2)
    wait_until(lambda: lines(tmp_path, "started") == ["first 1"], "the first process works")
    wait_until(lambda: falls_asleep(first), "it sleeps, and not in the middle of a write")
    start("second")
    wait_until(lambda: len(lines(tmp_path, "started")) == 2, "the job is taken again")
    with db.read() as session:
        [token] = session.scalars(select(Job.lease).where(Job.kind == "test.hold"))
    first.send_signal(signal.SIGCONT)
    # Stopping the stale process would release a job of its own.
    first.terminate()
    (tmp_path / "go").touch()
    wait_until(lambda: states() == {"test.hold": "done"}, "the job is done")
    first.wait(timeout=60)
    assert token is not None
    with db.read() as session:
        assert session.scalars(select(Job.attempts).where(Job.kind == "test.hold")).all() == [2]


def test_long_job_keeps_its_lease(app: Flask, start: Start, tmp_path: Path) -> None:
    enqueue("test.hold")
    start("first", lease=9)
    wait_until(lambda: lines(tmp_path, "started") == ["first 1"], "the first process works")
    until = _leased_until()
    wait_until(lambda: _leased_until() > until, "the lease is renewed long before it ends")
    start("second")
    enqueue("test.break", max_attempts=1)
    wait_until(lambda: states().get("test.break") == "dead", "the second process looked for work after that")
    (tmp_path / "go").touch()
    wait_until(lambda: states()["test.hold"] == "done", "the job is done")
    assert lines(tmp_path, "finished") == ["first 1"]


@pytest.mark.sqlite_alone
def test_sigterm_lets_the_job_finish_and_starts_no_other(app: Flask, start: Start, tmp_path: Path) -> None:
    enqueue("test.hold", 1)
    enqueue("test.break", 2)
    process = start("first")
    wait_until(lambda: lines(tmp_path, "started") == ["first 1"], "the process works")
    wait_until(lambda: threads(process) == 5, "all are there: main, the job's, heavy, leases, schedules")
    process.terminate()
    wait_until(lambda: threads(process) == 3, "it has heard: heavy and schedules have ended")
    (tmp_path / "go").touch()
    assert process.wait(timeout=60) == 0
    assert states() == {"test.hold": "done", "test.break": "pending"}


def test_heavy_jobs_run_one_at_a_time_and_delay_no_others(app: Flask, start: Start, tmp_path: Path) -> None:
    for n in (1, 2):
        enqueue("test.heavy", n)
    start("first")
    wait_until(lambda: lines(tmp_path, "started") == ["first 1"], "the process works at a heavy job")
    enqueue("test.break", 3, max_attempts=1)
    wait_until(lambda: states()["test.break"] == "dead", "another job is done beside it, by its one thread")
    assert lines(tmp_path, "started") == ["first 1", "first 3"]
    (tmp_path / "go").touch()
    wait_until(lambda: lines(tmp_path, "finished") == ["first 1", "first 2"], "both heavy jobs are done")


def test_sigterm_releases_a_heavy_job_at_once(app: Flask, start: Start, tmp_path: Path) -> None:
    enqueue("test.heavy")
    process = start("first")
    wait_until(lambda: lines(tmp_path, "started") == ["first 1"], "the process works")
    process.terminate()
    assert process.wait(timeout=60) == 0  # it waits longer for other jobs
    assert states() == {"test.heavy": "pending"}
    assert _attempts() == [0]


@pytest.mark.sqlite_alone
def test_job_that_raises_waits_for_its_retry_with_its_reason(app: Flask, start: Start) -> None:
    enqueue("test.break")
    start("first")
    wait_until(lambda: _attempts() == [1], "the first attempt")
    wait_until(lambda: states() == {"test.break": "pending"}, "it waits again")
    with db.read() as session:
        [job] = session.scalars(select(Job).where(Job.kind == "test.break"))
    assert job.error == "ValueError: it broke"
    assert job.run_at > job.created_at


@pytest.mark.sqlite_alone
def test_job_that_ends_its_process_is_dead_after_its_attempts(app: Flask, start: Start, tmp_path: Path) -> None:
    enqueue("test.exit", max_attempts=1)
    assert start("first", lease=2).wait(timeout=60) == 9
    start("second")
    wait_until(lambda: states() == {"test.exit": "dead"}, "the job is buried")
    assert lines(tmp_path, "started") == ["first 1"]


def test_worker_continues_after_an_outage(tmp_path: Path, postgres: Postgres) -> None:
    from church.database.migrations import migrate

    site = site_settings(tmp_path, postgres.new_database())
    migrate(site)
    app = Flask("test")
    app.config["CHURCH"] = site
    db.init_app(app)
    url = site.database_url.get_secret_value() if site.database_url else ""
    environment = {**os.environ, "CHURCH_INSTANCE": str(site.instance), "DATABASE_URL": url}
    command = [sys.executable, "-m", "tests.support.worker_process", str(tmp_path), "only"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        with app.app_context():
            enqueue("test.hold")
            wait_until(lambda: lines(tmp_path, "started") == ["only 1"], "the process works")
            postgres.stop()
            (tmp_path / "go").touch()
            wait_until(lambda: lines(tmp_path, "finished") == ["only 1"], "the job ends while the database is away")
            postgres.start()
            wait_until(lambda: states() == {"test.hold": "done"}, "what was done is written down")
            enqueue("test.break", max_attempts=1)
            wait_until(lambda: states()["test.break"] == "dead", "the next job is taken")
            db.dispose()
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    assert lines(tmp_path, "finished") == ["only 1"]


@pytest.mark.sqlite_alone
def test_scheduled_job_is_run_by_the_worker(app: Flask, start: Start) -> None:
    start("first")
    wait_until(lambda: "done" in _purges(), "jobs.purge was queued and done")
    assert jobs.count_pending_jobs()["jobs.purge"] == 0


def _purges() -> list[str]:
    with db.read() as session:
        return list(session.scalars(select(Job.state).where(Job.kind == "jobs.purge")))


def _leased_until() -> datetime:
    with db.read() as session:
        until = session.scalars(select(Job.leased_until).where(Job.kind == "test.hold")).one()
    assert until is not None
    return until


def _attempts() -> list[int]:
    with db.read() as session:
        return list(session.scalars(select(Job.attempts).where(Job.kind.startswith("test."))))
