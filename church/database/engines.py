"""SQLAlchemy engines for SQLite and PostgreSQL. Each process creates its own, after the fork.

On PostgreSQL nothing outlives a transaction, so that the site works through PgBouncer in transaction mode, where each
transaction may get another server connection: limits are set with each BEGIN, and no statement is prepared by name.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Dialect, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from church.config import Settings
from church.database.connection_pool import FairPool
from church.database.host_lookup import resolve_host

# Seconds. Without a connection or a free place in the pool by then the answer is 503.
CONNECT_WAIT = 2
_LOCK_WAIT = 3
_IDLE_IN_TRANSACTION = 30
# For a statement of a migration, a backup or a restore.
_UPKEEP_WAIT = 600
_PROBE_WAIT = 1
_WAL_BYTES = 64 * 1024 * 1024

# A read takes its snapshot at once, so that it meets a lock here, where it can wait, and not in the middle. SQLite
# takes it with the first statement that reads, not with BEGIN. Sent to the driver as they are, both cost 5 µs together.
_READ = ("BEGIN", "SELECT 1 FROM sqlite_schema LIMIT 1")
_WRITE = ("BEGIN IMMEDIATE",)
_READER_PRAGMAS = ("query_only=ON",)
# journal_mode is stored in the file; a restored copy gets it back from its first writer. The WAL is truncated to this
# size once no reader uses it (sqlite.org/wal.html).
_WRITER_PRAGMAS = ("journal_mode=WAL", f"journal_size_limit={_WAL_BYTES}")


@dataclass(frozen=True)
class Engines:
    """The engines that a process reads and writes with. On PostgreSQL they are the same."""

    reader: Engine
    writer: Engine

    @property
    def distinct(self) -> set[Engine]:
        """Each engine once."""
        return {self.reader, self.writer}

    def dispose(self, *, close: bool = True) -> None:
        """Close the pools; ``close=False`` forgets connections that belong to the process before the fork.

        A connection that is in use is closed when it comes back. SQLAlchemy would leave that to the garbage collector.
        """
        for engine in self.distinct:
            pool = engine.pool
            engine.dispose(close=close)
            if close:
                event.listen(pool, "checkin", _close_entry)
                pool.dispose()  # again: one may have come back before the listener was there


def make_engines(settings: Settings) -> Engines:
    """Create the engines of one process. Nothing connects yet."""
    if is_sqlite(settings):
        reader = _sqlite_engine(settings, begin=_READ, pragmas=_READER_PRAGMAS, size=settings.database_pool)
        writer = _sqlite_engine(settings, begin=_WRITE, pragmas=_WRITER_PRAGMAS, size=1)
        return Engines(reader, writer)
    engine = _postgresql_engine(
        settings.database_dsn,
        settings.database_timeout,
        poolclass=FairPool,
        pool_pre_ping=True,
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=CONNECT_WAIT,
    )
    return Engines(engine, engine)


def make_upkeep_engine(settings: Settings) -> Engine:
    """Create an engine without a pool for migrations and restores. It creates a missing SQLite file.

    It connects to ``CHURCH_DATABASE_DIRECT_URL`` if that is set.
    """
    if is_sqlite(settings):
        return _sqlite_engine(settings, begin=_WRITE, pragmas=_WRITER_PRAGMAS, create=True, wait=_LOCK_WAIT)
    return _postgresql_engine(settings.database_direct_dsn, _UPKEEP_WAIT, poolclass=NullPool)


def make_probe_engine(settings: Settings) -> Engine:
    """Create an engine with its own connection, so that a full pool does not look like a dead database."""
    if is_sqlite(settings):
        return _sqlite_engine(settings, begin=_READ, pragmas=_READER_PRAGMAS)
    return _postgresql_engine(settings.database_dsn, _PROBE_WAIT, poolclass=NullPool)


def make_watch_engine(settings: Settings) -> Engine:
    """Create an engine without a pool for a connection that notices changes: of PostgreSQL itself, where it can."""
    if is_sqlite(settings):
        return _sqlite_engine(settings, begin=_READ, pragmas=_READER_PRAGMAS)
    return _postgresql_engine(settings.database_direct_dsn, settings.database_timeout, poolclass=NullPool)


def _close_entry(_connection: object, entry: ConnectionPoolEntry) -> None:
    entry.close()


def is_sqlite(settings: Settings) -> bool:
    """Whether the site's database is SQLite."""
    return _url(settings).get_backend_name() == "sqlite"


def sqlite_path(settings: Settings) -> Path:
    """Path of the SQLite database."""
    return Path(_url(settings).database or "church.db").absolute()


def _url(settings: Settings) -> URL:
    return _parse_url(settings.database_dsn)


@lru_cache(maxsize=8)
def _parse_url(dsn: str) -> URL:
    """Parse an address; cached, because parsing is slow and every write needs it."""
    return make_url(dsn)


def _sqlite_engine(
    settings: Settings,
    *,
    begin: tuple[str, ...],
    pragmas: tuple[str, ...],
    size: int = 0,
    create: bool = False,
    wait: float = 0,
) -> Engine:
    """Create an engine. ``size`` 0 means no pool; ``wait`` is SQLite's busy time-out in s, which blocks greenlets."""
    path = sqlite_path(settings)

    def connect() -> sqlite3.Connection:
        # mode=rw: a missing database is an outage, not an empty site.
        address = f"{path.as_uri()}?mode={'rwc' if create else 'rw'}"
        connection = sqlite3.connect(address, uri=True, timeout=wait, isolation_level=None, check_same_thread=False)
        try:
            for pragma in (*pragmas, "foreign_keys=ON", "synchronous=NORMAL"):
                connection.execute(f"PRAGMA {pragma}").close()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    address = f"sqlite:///{path}"
    if size:
        engine = create_engine(
            address,
            creator=connect,
            poolclass=FairPool,
            pool_size=size,
            max_overflow=0,
            pool_timeout=CONNECT_WAIT,
            hide_parameters=True,
        )
    else:
        engine = create_engine(address, creator=connect, poolclass=NullPool, hide_parameters=True)
    _begin_with(engine, begin)
    return engine


def _postgresql_engine(address: str, timeout: float, **options: Any) -> Engine:
    engine = create_engine(
        address,
        connect_args=_postgresql_arguments(),
        use_native_hstore=False,  # would cost each new connection a query
        hide_parameters=True,  # error texts are logged, and must not contain members' data
        **options,
    )
    event.listen(engine, "do_connect", _resolve_host)
    _begin_with(engine, (_limited_begin(timeout),))
    return engine


def _begin_with(engine: Engine, statements: tuple[str, ...]) -> None:
    """Begin each transaction of ``engine`` with ``statements``, which the driver leaves to us."""

    def begin(connection: PoolProxiedConnection) -> None:
        cursor = connection.cursor()
        try:
            for statement in statements:
                cursor.execute(statement)
        finally:
            cursor.close()

    # In this place, errors of the driver become SQLAlchemy's.
    engine.dialect.do_begin = begin  # type: ignore[method-assign, assignment]


def _resolve_host(dialect: Dialect, _record: object, _args: object, parameters: dict[str, Any]) -> None:
    try:
        resolve_host(parameters, CONNECT_WAIT)
    except OSError as error:
        raise dialect.loaded_dbapi.OperationalError(str(error)) from None


def _limited_begin(timeout: float) -> str:
    """BEGIN with limits for this transaction alone, as one message: PostgreSQL answers it in one round trip."""
    limits = {
        "statement_timeout": timeout,
        "lock_timeout": min(timeout, _LOCK_WAIT) if timeout < _UPKEEP_WAIT else timeout,
        "idle_in_transaction_session_timeout": max(timeout, _IDLE_IN_TRANSACTION),
    }
    return "; ".join(["BEGIN", *(f"SET LOCAL {name} = {int(seconds * 1000)}" for name, seconds in limits.items())])


def _postgresql_arguments() -> dict[str, object]:
    """Parameters for the driver and libpq: a lost host is noticed within seconds.

    PgBouncer refuses the startup parameter ``options``, and does not know statements that were prepared by name.
    """
    return {
        "autocommit": True,
        "prepare_threshold": None,
        "connect_timeout": CONNECT_WAIT,
        "application_name": "church",
        "keepalives": 1,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "tcp_user_timeout": CONNECT_WAIT * 1000,
    }
