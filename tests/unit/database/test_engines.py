"""Engines for SQLite and PostgreSQL, and their limits."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from church.config import Settings
from church.database import Database
from church.database.engines import (
    _limited_begin,
    _postgresql_arguments,
    is_sqlite,
    make_engines,
    make_probe_engine,
    make_upkeep_engine,
    sqlite_path,
)
from tests.support.services_fixture import site_settings


def test_sqlite_has_wal_and_foreign_keys(db: Database) -> None:
    with db.write() as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(text("PRAGMA foreign_keys")) == 1
        assert session.scalar(text("PRAGMA busy_timeout")) == 0
    with db.read() as session:
        assert session.scalar(text("PRAGMA query_only")) == 1
        assert session.scalar(text("PRAGMA busy_timeout")) == 0


def test_sqlite_reader_and_writer_are_different_engines(site: Settings) -> None:
    engines = make_engines(site)
    assert engines.distinct == {engines.reader, engines.writer}
    assert engines.reader is not engines.writer
    engines.dispose()


def test_dispose_closes_what_is_in_use_when_it_comes_back(site: Settings) -> None:
    engines = make_engines(site)
    in_use = engines.reader.connect()
    driver = in_use.connection.driver_connection
    engines.dispose()
    assert in_use.scalar(text("SELECT 1")) == 1
    in_use.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        driver.execute("SELECT 1")
    for _ in range(2):  # the next one is kept open as before
        with engines.reader.connect() as connection:
            kept = connection.connection.driver_connection
        assert kept.execute("SELECT 1").fetchone() == (1,)
    engines.dispose()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        kept.execute("SELECT 1")


def test_postgresql_has_one_engine_and_connects_later(tmp_path: Path) -> None:
    engines = make_engines(site_settings(tmp_path, "postgresql://me@127.0.0.1:1/none"))
    assert engines.distinct == {engines.reader}
    assert engines.reader.pool.status().startswith("Pool size")


def test_only_the_upkeep_engine_creates_a_missing_file(tmp_path: Path) -> None:
    site = site_settings(tmp_path)
    site.instance.mkdir(exist_ok=True)
    with pytest.raises(OperationalError, match="unable to open"), make_probe_engine(site).connect():
        pass
    assert not sqlite_path(site).exists()
    with make_upkeep_engine(site).connect():
        pass
    assert sqlite_path(site).exists()


def test_sqlite_path_of_a_site_without_an_address_is_in_its_instance(site: Settings, tmp_path: Path) -> None:
    assert is_sqlite(site)
    assert sqlite_path(site) == site.instance / "church.db"
    assert not is_sqlite(site_settings(tmp_path, "postgresql://me@127.0.0.1/none"))


def test_postgresql_waits_are_bounded_in_each_transaction() -> None:
    assert _limited_begin(10) == (
        "BEGIN; SET LOCAL statement_timeout = 10000; SET LOCAL lock_timeout = 3000; "
        "SET LOCAL idle_in_transaction_session_timeout = 30000"
    )


def test_postgresql_upkeep_waits_longer_for_locks() -> None:
    assert "lock_timeout = 600000" in _limited_begin(600)
    assert "lock_timeout = 1000" in _limited_begin(1)


def test_postgresql_connection_has_nothing_that_a_pooler_in_transaction_mode_refuses() -> None:
    arguments = _postgresql_arguments()
    assert "options" not in arguments
    assert arguments["prepare_threshold"] is None
    assert arguments["connect_timeout"] == 2


def test_only_the_upkeep_engine_goes_past_a_pooler(tmp_path: Path) -> None:
    direct = "postgresql://me@127.0.0.1:2/direct"
    site = site_settings(tmp_path, "postgresql://me@127.0.0.1:1/pooled", CHURCH_DATABASE_DIRECT_URL=direct)
    assert make_upkeep_engine(site).url.database == "direct"
    assert {make_probe_engine(site).url.database, make_engines(site).writer.url.database} == {"pooled"}
    assert make_upkeep_engine(site_settings(tmp_path, "postgresql://me@h/pooled")).url.database == "pooled"
