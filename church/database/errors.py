"""Turn outages, locks and time-outs of the database into errors answered with 503. Wrong statements keep theirs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from church.errors import ChurchError, UnavailableError

# PostgreSQL, appendix A: lock_not_available, deadlock_detected, serialization_failure.
_BUSY_STATES = {"55P03", "40P01", "40001"}
_CANCELLED = "57014"  # query_canceled: by statement_timeout, or by an administrator


class DatabaseDownError(UnavailableError):
    """The database does not answer or can't store: it is stopped, unreachable, full, read-only or damaged."""


class DatabaseBusyError(UnavailableError):
    """The database works, but others held a lock or all connections for too long. Try again soon."""

    def __init__(self, detail: str | None = None, *, retry_after: int | None = 1) -> None:
        super().__init__(detail, retry_after=retry_after)


class StatementTimeoutError(UnavailableError):
    """The database works, but cancelled a statement that took longer than ``CHURCH_DATABASE_TIMEOUT``."""


class LaterSchemaError(ChurchError):
    """The database was migrated by a later release, and this code knows no way back."""


def is_locked(error: DBAPIError) -> bool:
    """Whether another transaction holds the lock."""
    original = error.orig
    if isinstance(original, sqlite3.Error):
        return _sqlite_code(original) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    return getattr(original, "sqlstate", None) in _BUSY_STATES


def is_cancelled(error: DBAPIError) -> bool:
    """Whether PostgreSQL cancelled the statement, because it took too long or an administrator wanted so."""
    return getattr(error.orig, "sqlstate", None) == _CANCELLED


@contextmanager
def translate_errors(*, reading: bool = False) -> Iterator[None]:
    """Turn errors of the driver and the pool into the three errors of this module, with their cause."""
    try:
        yield
    except PoolTimeoutError as error:
        raise DatabaseBusyError from error
    except DBAPIError as error:
        if is_locked(error):
            raise DatabaseBusyError from error
        if is_cancelled(error):
            raise StatementTimeoutError from error
        if error.connection_invalidated or _is_outage(error, reading=reading):
            raise DatabaseDownError from error
        raise


def _is_outage(error: DBAPIError, *, reading: bool) -> bool:
    original = error.orig
    if not isinstance(original, sqlite3.Error):
        return isinstance(error, (OperationalError, InterfaceError))
    code = _sqlite_code(original)
    if code == sqlite3.SQLITE_READONLY:
        return not reading  # a write in db.read() is a bug, not an outage
    return code in {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
    }


def _sqlite_code(error: sqlite3.Error) -> int:
    """The primary result code (sqlite.org/rescode.html); 0 for an error raised by Python itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
