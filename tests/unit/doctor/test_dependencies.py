"""Checks of the database and the jobs."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
from sqlalchemy import insert
from sqlalchemy.exc import OperationalError

from church.config import Settings
from church.database import migrations
from church.database.engines import make_upkeep_engine, sqlite_path
from church.doctor import dependencies
from church.models import Job, Schedule
from church.models.base import utc_now
from tests.support.doctor import check
from tests.support.services_fixture import site_settings


def add(settings: Settings, table: Any, **values: Any) -> None:
    engine = make_upkeep_engine(settings)
    with engine.begin() as connection:
        connection.execute(insert(table).values(**values))
    engine.dispose()


def add_job(settings: Settings, state: str, run_at: datetime) -> None:
    times = {"run_at": run_at, "created_at": run_at}
    add(settings, Job, kind="test.work", payload={}, state=state, attempts=0, max_attempts=1, **times)


def test_database_missing_fails_with_a_fix(site: Settings) -> None:
    sqlite_path(site).unlink()
    found = check(site, "database")
    assert found.state == "fail"
    assert "flask church migrate" in found.fix
    assert not sqlite_path(site).exists()


def test_postgresql_down_fails_without_its_password(site: Settings, tmp_path: Path) -> None:
    down = site_settings(tmp_path, "postgresql://someone:hunter2@127.0.0.1:1/none")
    found = check(down, "database")
    assert found.state == "fail"
    assert "hunter2" not in f"{found}"


@pytest.mark.parametrize("sqlstate", ["57014", "55P03"])
def test_database_that_is_slow_or_locked_is_not_called_down(
    site: Settings, monkeypatch: pytest.MonkeyPatch, sqlstate: str
) -> None:
    original = psycopg.errors.lookup(sqlstate)("canceling statement")
    error = OperationalError("SELECT 1", {}, original)
    monkeypatch.setattr(dependencies, "make_probe_engine", Mock(side_effect=error))
    for name in ("database", "jobs"):
        found = check(site, name)
        assert (found.state, "in a second" in found.finding, "pg_stat_activity" in found.fix) == ("warn", True, True)


def test_database_behind_the_code_fails(site: Settings) -> None:
    migrations.downgrade(site, "base")
    found = check(site, "database")
    assert (found.state, found.fix) == ("fail", "flask church migrate")


def test_database_ahead_of_the_code_fails(site: Settings) -> None:
    engine = make_upkeep_engine(site)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    found = check(site, "database")
    assert (found.state, "does not know" in found.finding) == ("fail", True)


def test_dead_job_warns(site: Settings) -> None:
    add_job(site, "dead", utc_now())
    assert check(site, "jobs").state == "warn"


def test_job_overdue_warns_to_start_the_worker(site: Settings) -> None:
    add_job(site, "pending", utc_now() - timedelta(minutes=1))
    assert check(site, "jobs").state == "ok"
    add_job(site, "pending", utc_now() - timedelta(minutes=10))
    found = check(site, "jobs")
    assert (found.state, "flask church work" in found.fix) == ("warn", True)


def test_schedule_late_warns_to_start_the_worker(site: Settings) -> None:
    add(site, Schedule, kind="test.work", every_seconds=60, next_at=utc_now() - timedelta(minutes=10))
    found = check(site, "jobs")
    assert (found.state, "test.work" in found.finding) == ("warn", True)
