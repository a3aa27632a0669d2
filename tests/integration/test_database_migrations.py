"""Migrations: many processes at once, downgrades, and failures in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, inspect, text

from church import create_app
from church.config import Settings
from church.database import engines, migrations
from church.database.engines import make_upkeep_engine
from church.database.migrations import env_filter
from church.extensions import db
from church.models import Base, Invoice, Job, Price, Subscription, User
from church.models.base import utc_now
from church.models.pages import PageText
from church.services.pages.search.find import search_statement
from tests.support.billing_rows import add_customer, add_invoice, add_subscription, store, stored
from tests.support.services_fixture import Postgres, site_settings, wait_until
from tests.support.stripe_fixture import add_member

pytestmark = pytest.mark.services

_PRICE: dict[str, Any] = {
    "stripe_product": "prod_1", "amount": 1200, "currency": "usd", "interval": "month", "interval_count": 1,
    "trial_days": 0, "tax_behavior": "unspecified", "active": True, "created_at": utc_now(), "fetched_at": utc_now(),
}  # fmt: skip

# Reports that it is ready and waits for a line, so that all processes start at the same moment.
_MIGRATE = """
from church.config import load_settings
from church.database.migrations import migrate
settings = load_settings()
print("ready", flush=True)
input()
migrate(settings)
"""


def _environment(site: Settings) -> dict[str, str]:
    places = {"CHURCH_INSTANCE": str(site.instance), "CHURCH_LOG_DIR": str(site.log_dir)}
    url = site.database_url.get_secret_value() if site.database_url else ""
    return {**os.environ, **places, "DATABASE_URL": url}


def _tables(site: Settings) -> set[str]:
    engine = make_upkeep_engine(site)
    try:
        with engine.connect() as connection:
            return set(inspect(connection).get_table_names())
    finally:
        engine.dispose()


def test_migrate_four_processes_at_once_leave_one_correct_schema(empty_site: Settings) -> None:
    command = [sys.executable, "-c", _MIGRATE]
    environment = _environment(empty_site)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0], "\n".join(errors)
    assert _tables(empty_site) >= {"jobs", "schedules", "page_texts", "alembic_version"}
    engine = make_upkeep_engine(empty_site)
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT version_num FROM alembic_version")).all() == [migrations.head_revision()]
    engine.dispose()


def test_migrate_waits_for_another_migration_however_long(
    empty_site: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_LOCK_WAIT", 0)  # SQLite's own wait
    errors: list[Exception] = []

    def late() -> None:
        try:
            migrations.migrate(empty_site)
        except Exception as error:  # noqa: BLE001 (the assertions show it)
            errors.append(error)

    with migrations.locked_connection(empty_site) as connection:
        connection.execute(text("CREATE TABLE slow (id INTEGER)"))
        thread = threading.Thread(target=late)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), f"it did not wait: {errors}"
    thread.join(300)
    assert errors == []
    assert _tables(empty_site) >= {"slow", "jobs"}


def test_upgrade_does_not_deadlock_with_a_writer_of_several_tables(tmp_path: Path, migrated_url: str) -> None:
    site = site_settings(tmp_path, migrated_url)
    migrations.downgrade(site, "0011")
    engine, errors = make_upkeep_engine(site), list[BaseException]()

    def upgrade() -> None:
        try:
            migrations.migrate(site)
        except BaseException as error:  # noqa: BLE001 (shown by the test)
            errors.append(error)

    upgrading, now = threading.Thread(target=upgrade), utc_now()
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass")
    job = {"kind": "test.work", "payload": {}, "max_attempts": 1, "run_at": now, "created_at": now}
    with engine.begin() as writer, engine.connect() as other:
        writer.execute(insert(User).values(ref="ada", name="Ada", source="web", created_at=now))
        upgrading.start()
        wait_until(lambda: other.scalar(waits), "the upgrade waits for the writer")
        writer.execute(insert(Job).values(job))
    upgrading.join()
    assert errors == []
    with engine.connect() as connection:
        assert migrations.current_revision(connection) == migrations.head_revision()
        assert connection.scalar(text("SELECT count(*) FROM users, jobs")) == 1
    engine.dispose()


_VACUUM_FOR_HOURS = """ALTER TABLE users SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)"""


@pytest.fixture
def vacuumed_site(tmp_path: Path, postgres: Postgres, postgres_url: str) -> Iterator[Settings]:
    """A site of the release before whose accounts are being vacuumed by PostgreSQL, for a long time."""
    site = site_settings(tmp_path, postgres_url)
    migrations.migrate(site, "0016")
    is_vacuumed = """SELECT count(*) FROM pg_locks WHERE granted AND mode = 'ShareUpdateExclusiveLock'
        AND relation = 'users'::regclass"""
    with postgres.database(postgres_url) as connection:
        connection.execute(_VACUUM_FOR_HOURS)
        connection.execute("""INSERT INTO users (ref, name, source, role, created_at)
            SELECT number, repeat('x', 200), 'web', 'member', now() FROM generate_series(1, 20000) AS number""")
        connection.execute("UPDATE users SET name = 'Ada'")
        connection.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        connection.execute("SELECT pg_reload_conf()")
        try:
            wait_until(
                lambda: connection.execute(is_vacuumed).fetchall() == [(1,)], "accounts are vacuumed", seconds=120
            )
            yield site
        finally:
            connection.execute("ALTER SYSTEM RESET autovacuum_naptime")
            connection.execute("SELECT pg_reload_conf()")


def test_upgrade_does_not_wait_for_a_vacuum(vacuumed_site: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "_LOCK_TRIES", 10)
    migrations.migrate(vacuumed_site)
    with migrations.locked_connection(vacuumed_site) as connection:
        assert migrations.current_revision(connection) == migrations.head_revision()


def test_migrations_match_the_models(migrated_site: Settings) -> None:
    engine = make_upkeep_engine(migrated_site)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": env_filter.include_object})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_downgrade_to_base_removes_everything_and_upgrade_works_again(migrated_site: Settings) -> None:
    migrations.downgrade(migrated_site, "base")
    assert _tables(migrated_site) == {"alembic_version"}
    migrations.migrate(migrated_site)
    assert "page_texts" in _tables(migrated_site)


@pytest.mark.parametrize("revision", ["0016", "head"])
def test_texts_of_pages_are_found_after_the_index_is_made_anew(migrated_site: Settings, revision: str) -> None:
    app = create_app(migrated_site)
    with app.app_context():
        texts = {"title": "Harbour", "summary": "", "tags": "", "body": "A lantern."}
        with db.write() as session:
            session.add(PageText(slug="one", scope="full", access="public", **texts))
        db.dispose()
    migrations.downgrade(migrated_site, "0016")
    if revision == "head":
        migrations.migrate(migrated_site)
    with app.app_context():
        with db.write() as session:
            session.add(PageText(slug="two", scope="full", access="public", **texts))
        with db.read() as session:
            for query in ("l", "la", "lantern"):
                statement = search_statement(session.get_bind().dialect.name, query, ["public"], 10)
                assert statement is not None
                assert sorted(row.slug for row in session.execute(statement)) == ["one", "two"]
        db.dispose()


def test_upgrade_keeps_the_amounts_of_subscriptions_and_has_them_asked_for(migrated_site: Settings) -> None:
    """The release before knows neither a preview nor how an invoice is collected."""
    app = create_app(migrated_site)
    with app.app_context():
        user_id, _ = add_member(app)
        add_invoice(
            add_subscription(add_customer(user_id), "sub_1", renewal_amount=960, collection_method="send_invoice")
        )
        store(Price(stripe_id="price_1", currency_amounts={"eur": 1}, **_PRICE))
        db.dispose()
    migrations.downgrade(migrated_site, "0008")
    migrations.migrate(migrated_site)
    with app.app_context():
        [row], [price] = stored(Subscription), stored(Price)
        assert (row.amount, row.plan_amount, row.renewal_amount) == (1200, 1200, 960)
        assert (row.renewal_at, row.renewal_asked_at, row.renewal_basis) == (row.current_period_end, None, None)
        assert (row.collection_method, row.resumes_at, price.currency_amounts) == ("charge_automatically", None, {})
        assert stored(Invoice)[0].due_at is None
        db.dispose()


def test_migration_failing_midway_leaves_the_schema_unchanged(empty_site: Settings) -> None:
    engine = make_upkeep_engine(empty_site)
    empty_site.instance.mkdir(parents=True, exist_ok=True)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE page_texts (oops INTEGER)"))  # is created after jobs and schedules
    with pytest.raises(Exception, match="already exists"):
        migrations.migrate(empty_site)
    assert _tables(empty_site) - {"alembic_version"} == {"page_texts"}
    engine.dispose()
