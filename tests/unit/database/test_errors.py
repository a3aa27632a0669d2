"""Which errors of the driver are outages, which are locks, and which stay as they are."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from church.database.errors import (
    DatabaseBusyError,
    DatabaseDownError,
    StatementTimeoutError,
    is_cancelled,
    is_locked,
    translate_errors,
)
from church.errors import UnavailableError


class RefusedError(Exception):
    """An error of psycopg, with the state that the server gave."""

    sqlstate: str | None


def sqlite_error(code: int) -> OperationalError:
    """An error of SQLite with an extended result code."""
    original = sqlite3.OperationalError("failed")
    original.sqlite_errorcode = code
    return OperationalError("SELECT 1", {}, original)


def postgresql_error(kind: type[DBAPIError], sqlstate: str | None = None, **options: Any) -> DBAPIError:
    """An error of PostgreSQL's driver."""
    original = RefusedError("failed")
    original.sqlstate = sqlstate
    return kind("SELECT 1", {}, original, **options)


def translated(error: Exception, *, reading: bool = False) -> Exception:
    """What a caller of the database sees in place of ``error``."""
    with pytest.raises((SQLAlchemyError, UnavailableError)) as raised, translate_errors(reading=reading):
        raise error
    return raised.value


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_BUSY_SNAPSHOT])
def test_lock_of_sqlite_is_busy(code: int) -> None:
    error = sqlite_error(code)
    assert is_locked(error)
    found = translated(error)
    assert isinstance(found, DatabaseBusyError)
    assert found.__cause__ is error


@pytest.mark.parametrize("state", ["55P03", "40P01", "40001"])
def test_lock_of_postgresql_is_busy(state: str) -> None:
    assert isinstance(translated(postgresql_error(OperationalError, state)), DatabaseBusyError)


def test_full_pool_is_busy() -> None:
    assert isinstance(translated(PoolTimeoutError()), DatabaseBusyError)


def test_cancelled_statement_timed_out_with_its_cause() -> None:
    error = postgresql_error(OperationalError, "57014")
    assert is_cancelled(error)
    found = translated(error)
    assert isinstance(found, StatementTimeoutError)
    assert (found.status, found.reason, found.__cause__) == (503, "StatementTimeoutError", error)


@pytest.mark.parametrize(
    "error",
    [
        sqlite_error(sqlite3.SQLITE_FULL),
        sqlite_error(sqlite3.SQLITE_IOERR_READ),
        sqlite_error(sqlite3.SQLITE_NOTADB),
        postgresql_error(InterfaceError),
        postgresql_error(OperationalError, "57P01"),
        postgresql_error(DBAPIError, connection_invalidated=True),
    ],
)
def test_outage_is_down_with_its_cause(error: Exception) -> None:
    found = translated(error)
    assert isinstance(found, DatabaseDownError)
    assert found.__cause__ is error


def test_read_only_database_is_an_outage_for_writers_and_a_bug_for_readers() -> None:
    error = sqlite_error(sqlite3.SQLITE_READONLY_DBMOVED)
    assert isinstance(translated(error), DatabaseDownError)
    assert translated(error, reading=True) is error


@pytest.mark.parametrize("error", [sqlite_error(sqlite3.SQLITE_ERROR), postgresql_error(DBAPIError, "42601")])
def test_wrong_statement_keeps_its_error(error: DBAPIError) -> None:
    assert not is_locked(error)
    assert translated(error) is error


def test_busy_database_asks_to_try_again_sooner_than_one_that_is_down() -> None:
    assert (DatabaseBusyError().retry_after, DatabaseDownError().retry_after) == (1, 5)
