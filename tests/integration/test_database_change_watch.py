"""The database's changes are noticed without a query: commits on SQLite, notices on PostgreSQL, also with a pooler."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import insert, text

from church.config import Settings
from church.database import ChangeWatch, change_watch
from church.database.migrations import migrate
from church.extensions import db
from church.jobs import worker
from church.models import Job
from church.models.base import utc_now
from tests.support.services_fixture import PgBouncer, Postgres, site_settings, wait_until

pytestmark = pytest.mark.services

LONG = 600.0  # seconds: a wait that ends before was ended by something


def app_of(site: Settings) -> Flask:
    app = Flask("test")
    app.config["CHURCH"] = site
    db.init_app(app)
    return app


@pytest.fixture
def app(migrated_site: Settings) -> Iterator[Flask]:
    app = app_of(migrated_site)
    with app.app_context():
        yield app
        db.dispose()


@pytest.fixture
def watch(app: Flask) -> Iterator[ChangeWatch]:
    watch = db.watch(worker.CHANNEL)
    yield watch
    watch.close()


def queue_job(delay: float = 0.0) -> None:
    """Queue a job as the release before does: with an INSERT alone."""
    now = utc_now()
    due = now + timedelta(seconds=delay)
    with db.write() as session:
        session.execute(insert(Job).values(kind="test.work", payload={}, max_attempts=1, run_at=due, created_at=now))


def notices(watch: ChangeWatch) -> bool:
    """Whether the watch notices something before it has waited in vain twice."""
    return watch.wait(LONG) if _sleeps(watch) else watch.wait(0.01) or watch.wait(0.01)


def _sleeps(watch: ChangeWatch) -> bool:
    return not isinstance(watch, change_watch._SqliteWatch)


def test_watch_notices_a_job_that_was_queued_since_it_was_armed(watch: ChangeWatch) -> None:
    watch.arm()
    queue_job()
    assert notices(watch)
    watch.arm()
    assert not watch.wait(0.01)
    queue_job(delay=LONG)
    assert notices(watch)


def test_watch_notices_a_job_that_is_put_off(app: Flask, watch: ChangeWatch) -> None:
    queue_job()
    watch.arm()
    with db.write() as session:
        session.execute(text("UPDATE jobs SET run_at = created_at"))
    assert notices(watch)


def test_watch_is_woken_from_another_thread_and_by_a_wake_before_the_wait(watch: ChangeWatch) -> None:
    watch.arm()
    for _ in range(10_000):  # more than a socket holds
        watch.wake()
    assert watch.wait(LONG)
    assert not watch.wait(0.01)
    threading.Timer(0.05, watch.wake).start()
    while not watch.wait(LONG):
        """SQLite is looked at each second."""


@pytest.fixture
def on_server(tmp_path: Path, postgres: Postgres) -> Iterator[Flask]:
    """A site on a server that the test may stop."""
    site = site_settings(tmp_path, postgres.new_database())
    migrate(site)
    app = app_of(site)
    with app.app_context():
        yield app
        db.dispose()


def listens(watch: ChangeWatch) -> bool:
    """Whether nothing has changed since now."""
    watch.arm()
    return not watch.wait(0.01)


def test_watch_listens_again_after_its_session_was_ended(on_server: Flask, postgres: Postgres) -> None:
    watch = db.watch(worker.CHANNEL)
    watch.arm()
    postgres.end_sessions()
    assert watch.wait(LONG)  # something may have been missed
    db.dispose()
    wait_until(lambda: listens(watch), "the end of the session is read to its last byte")
    queue_job()
    assert watch.wait(LONG)
    watch.close()


def test_watch_without_a_server_looks_each_second_and_listens_once_it_is_back(
    on_server: Flask, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_watch, "POLL", 0.01)
    watch = db.watch(worker.CHANNEL)
    postgres.stop()
    watch.arm()
    assert watch.wait(LONG)
    postgres.start()
    watch.arm()
    assert watch.wait(LONG)  # the next attempt is not due
    monkeypatch.setattr(change_watch, "_RECONNECT", 0)
    watch.arm()
    assert not watch.wait(0.01)
    db.dispose()
    queue_job()
    assert watch.wait(LONG)
    watch.close()


@pytest.mark.parametrize("direct", [False, True])
def test_watch_behind_a_pooler_looks_each_second_unless_it_knows_the_server(
    tmp_path: Path, migrated_url: str, pgbouncer: PgBouncer, monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    monkeypatch.setattr(change_watch, "POLL", 0.01)
    address = {"CHURCH_DATABASE_DIRECT_URL": migrated_url} if direct else {}
    app = app_of(site_settings(tmp_path, pgbouncer.pooled(migrated_url), **address))
    with app.app_context():
        watch = db.watch(worker.CHANNEL)
        watch.arm()
        assert watch.wait(0.02) is not direct  # without notices something may always have changed
        queue_job()
        assert watch.wait(LONG)
        watch.close()
        db.dispose()
