"""The site behind a real PgBouncer in transaction mode: a few connections serve many clients, and keep no state."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from church.backup import BackupError, backup
from church.config import Settings
from church.database import Database, StatementTimeoutError
from church.database.engines import make_upkeep_engine
from church.database.migrations import current_revision, downgrade, head_revision, migrate
from church.models import Schedule
from church.models.base import utc_now
from tests.support.environment import forget_the_shell
from tests.support.life import PASSWORD, Visitor
from tests.support.services_fixture import PgBouncer, Postgres, site_settings, wait_until
from tests.support.site_fixture import Site

pytestmark = pytest.mark.services

CLIENTS = 40
EMAIL = "ada@church.example"


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path, pgbouncer: PgBouncer, postgres_url: str) -> Settings:
    """Settings of a site behind the pooler. A mark sets the time-out of statements."""
    timeout = getattr(request, "param", 60.0)
    pooled = pgbouncer.pooled(postgres_url)
    return site_settings(tmp_path, pooled, CHURCH_DATABASE_POOL=CLIENTS, CHURCH_DATABASE_TIMEOUT=timeout)


@pytest.fixture
def app(site: Settings) -> Flask:
    """An app with these settings, whose database is migrated."""
    migrate(site)
    app = Flask("test")
    app.config["CHURCH"] = site
    return app


@pytest.fixture
def db(app: Flask) -> Iterator[Database]:
    """The database behind the pooler, in an app context."""
    found = Database()
    found.init_app(app)
    with app.app_context():
        yield found
        found.dispose()


def revision(site: Settings) -> str | None:
    """The revision of the database."""
    engine = make_upkeep_engine(site)
    try:
        with engine.connect() as connection:
            return current_revision(connection)
    finally:
        engine.dispose()


def test_migrations_through_the_pooler_take_turns(site: Settings) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: migrate(site), range(4)))
    assert revision(site) == head_revision()
    downgrade(site, "0006")
    assert revision(site) == "0006"


def test_many_clients_share_two_connections_and_lose_no_write(db: Database, app: Flask) -> None:
    with db.write() as session:
        session.add(Schedule(kind="shared", every_seconds=0, next_at=utc_now()))
    writer = app.extensions["database"]().open().writer
    connected, backends = threading.Barrier(CLIENTS), set[int]()

    def write(_number: int) -> None:
        raw = writer.raw_connection()
        connected.wait(60)  # all are connected to the pooler at once
        raw.close()
        with app.app_context():
            for _ in range(5):
                with db.write() as session:
                    session.execute(text("UPDATE schedules SET every_seconds = every_seconds + 1"))
                    backends.add(session.scalar(text("SELECT pg_backend_pid()")) or 0)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(write, range(CLIENTS)))
    assert writer.pool.checkedin() == CLIENTS
    assert len(backends) <= 2
    with db.read() as session:
        assert session.scalar(text("SELECT every_seconds FROM schedules")) == 5 * CLIENTS


@pytest.mark.parametrize("site", [0.5], indirect=True)
def test_slow_statement_is_cancelled_behind_the_pooler(db: Database) -> None:
    with pytest.raises(StatementTimeoutError), db.read() as session:
        session.execute(text("SELECT pg_sleep(60)"))
    assert db.probe(max_age=0).migrated


@pytest.mark.parametrize("site", [0.5], indirect=True)
def test_limits_reach_no_other_client_of_the_pooler(db: Database, site: Settings) -> None:
    for _ in range(4):
        with db.write() as session:
            assert session.scalar(text("SHOW statement_timeout")) == "500ms"
    engine = make_upkeep_engine(site)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "10min"
    raw = engine.raw_connection()
    found = [raw.cursor().execute(f"SHOW {name}").fetchone() for name in ("statement_timeout", "lock_timeout")]
    prepared = raw.cursor().execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    raw.close()
    engine.dispose()
    assert (found, prepared) == ([("0",)] * 2, (0,))


def test_backup_needs_the_direct_address(
    site: Settings, db: Database, pgbouncer: PgBouncer, postgres_url: str, tmp_path: Path
) -> None:
    with pytest.raises(BackupError, match="CHURCH_DATABASE_DIRECT_URL"):
        backup(site, tmp_path / "pooled.tar.gz")
    direct = site_settings(tmp_path, pgbouncer.pooled(postgres_url), CHURCH_DATABASE_DIRECT_URL=postgres_url)
    assert backup(direct, tmp_path / "direct.tar.gz").revision == head_revision()


@pytest.fixture(scope="module")
def world(pgbouncer: PgBouncer, _postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A whole site, with two web workers and a job worker, whose only way to the database is the pooler."""
    folder = tmp_path_factory.mktemp("pooled")
    with pytest.MonkeyPatch.context() as patch:
        forget_the_shell(patch)
        site = Site(
            folder,
            DATABASE_URL=pgbouncer.pooled(_postgres.new_database()),
            WEB_CONCURRENCY="2",
            CHURCH_LIMIT_SEARCH="1000000/minute",
        )
        try:
            yield site.start(work=True)
        finally:
            site.stop()


def test_site_behind_the_pooler_registers_signs_in_searches_and_does_jobs(world: Site) -> None:
    visitor, outbox = Visitor(world), world.settings.instance / "outbox"
    visitor.ask("/auth/register", {"email": EMAIL, "password": PASSWORD, "name": "Ada"}, 202)
    wait_until(lambda: list(outbox.glob("*.eml")), "the worker process has sent the email")  # a job, with its lease
    visitor.ask("/auth/login", {"email": EMAIL, "password": PASSWORD})
    assert visitor.ask("/auth/account")
    wait_until(lambda: b"<mark>" in visitor.ask("/pages/?q=backup"), "a job has indexed the pages")

    def use(_number: int) -> set[int]:
        return {visitor.try_to(path)[0] for path in ("/auth/account", "/pages/?q=backup", "/ready") * 5}

    with ThreadPoolExecutor(20) as pool:
        assert set().union(*pool.map(use, range(20))) == {200}
