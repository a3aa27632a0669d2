"""PostgreSQL: restarts, ended sessions, slow statements, locks and a full pool."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select, text

from church.config import Settings
from church.database import Database, DatabaseBusyError, DatabaseDownError, StatementTimeoutError, database_now
from church.database.migrations import migrate
from church.models import Schedule
from church.models.base import utc_now
from tests.support.services_fixture import Postgres, site_settings, wait_until

pytestmark = pytest.mark.services


TIMEOUT = 30.0


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str) -> Settings:
    """Settings with a generous time-out for statements, unless a mark sets another."""
    timeout = getattr(request, "param", TIMEOUT)
    settings = site_settings(tmp_path, postgres_url, CHURCH_DATABASE_POOL=2, CHURCH_DATABASE_TIMEOUT=timeout)
    migrate(settings)
    return settings


@pytest.fixture
def app(site: Settings) -> Flask:
    app = Flask("test")
    app.config["CHURCH"] = site
    return app


@pytest.fixture
def db(app: Flask) -> Iterator[Database]:
    found = Database()
    found.init_app(app)
    with app.app_context():
        yield found
        found.dispose()


def answers(db: Database) -> bool:
    try:
        with db.read() as session:
            return session.scalar(text("SELECT 1")) == 1
    except DatabaseDownError:
        return False


def test_stopped_server_is_down_and_works_again_after_a_restart(db: Database, postgres: Postgres) -> None:
    assert answers(db)
    assert db.probe(max_age=0).answers
    postgres.stop()
    with pytest.raises(DatabaseDownError), db.read():
        pass
    with pytest.raises(DatabaseDownError), db.write():
        pass
    assert not db.probe(max_age=0).answers
    postgres.start()
    assert db.probe(max_age=0).answers
    wait_until(lambda: answers(db), "sessions work again")


def test_sessions_ended_by_an_administrator_are_replaced(db: Database, postgres: Postgres) -> None:
    assert answers(db)
    assert postgres.end_sessions() >= 1
    assert answers(db)


def test_session_ended_in_a_transaction_is_down_and_stores_nothing(db: Database, postgres: Postgres) -> None:
    with pytest.raises(DatabaseDownError), db.write() as session:  # noqa: PT012 (the block is the transaction)
        session.add(Schedule(kind="half", every_seconds=1, next_at=utc_now()))
        session.flush()
        postgres.end_sessions()
        session.execute(text("SELECT 1"))
    with db.read() as session:
        assert session.scalars(select(Schedule)).all() == []


@pytest.mark.parametrize("site", [0.5], indirect=True)
def test_slow_statement_is_cancelled_and_the_database_is_not_down(db: Database) -> None:
    with pytest.raises(StatementTimeoutError), db.read() as session:
        session.execute(text("SELECT pg_sleep(30)"))
    assert answers(db)
    assert db.probe(max_age=0).answers


def test_row_locked_by_another_transaction_is_busy(db: Database, app: Flask) -> None:
    with db.write() as session:
        session.add(Schedule(kind="held", every_seconds=1, next_at=utc_now()))
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with app.app_context(), db.write() as session:
            session.execute(text("SELECT * FROM schedules FOR UPDATE"))
            held.set()
            done.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    try:
        with pytest.raises(DatabaseBusyError), db.write() as session:  # noqa: PT012 (the block is the transaction)
            session.execute(text("SET LOCAL lock_timeout = 100"))
            session.execute(text("UPDATE schedules SET every_seconds = 2"))
    finally:
        done.set()
        thread.join()


def test_full_pool_is_unavailable_and_a_probe_still_succeeds(db: Database, app: Flask) -> None:
    with db.read(), db.read():
        with pytest.raises(DatabaseBusyError), db.read():
            pass
        assert db.probe(max_age=0).answers
    assert answers(db)


def test_transaction_has_time_outs_and_leaves_none_behind(db: Database, app: Flask) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    for _ in range(2):  # the second one uses the same connection
        with db.read() as session:
            assert [session.scalar(text(f"SHOW {name}")) for name in names] == ["30s", "3s", "30s"]
    connection = app.extensions["database"]().open().reader.raw_connection()
    try:
        found = [connection.cursor().execute(f"SHOW {name}").fetchone() for name in names]
    finally:
        connection.close()
    assert found == [("0",)] * 3


def test_times_are_utc_whatever_the_zone_of_the_server(db: Database, postgres: Postgres, postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    with postgres.admin() as admin:
        admin.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Kathmandu'")
    at = utc_now()
    with db.write() as session:
        session.add(Schedule(kind="noted", every_seconds=1, next_at=at))
    with db.read() as session:
        assert session.scalar(text("SHOW timezone")) == "Asia/Kathmandu"
        read = session.scalars(select(Schedule.next_at)).one()
        assert (read, read.tzinfo) == (at, UTC)
        assert database_now(session).tzinfo is UTC


def test_probe_that_waits_for_a_lock_finds_the_database_there(db: Database, app: Flask) -> None:
    with db.write() as session:
        session.execute(text("LOCK TABLE alembic_version"))
        probe = db.probe(max_age=0)
    assert probe.answers
    assert not probe.migrated
