"""SQLAlchemy engines for both databases. Made by ``church.database`` in each process, after the fork."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, NullPool, QueuePool, create_engine, event, make_url

from church.config import Settings

# Seconds. A connection or a free place in the pool is there by then, or the answer is 503.
CONNECT_WAIT = 2
_LOCK_WAIT = 3
_IDLE_IN_TRANSACTION = 30
# A statement of a migration, a backup or a restore.
_UPKEEP_WAIT = 600
_WAL_BYTES = 64 * 1024 * 1024

# A read takes its snapshot at once: a lock is met here, where it can be waited for, and not in the middle.
_READ = ("BEGIN", "SELECT 1 FROM sqlite_schema LIMIT 1")
_WRITE = ("BEGIN IMMEDIATE",)
_READER_PRAGMAS = ("query_only=ON",)
# journal_mode is kept in the file; a restored copy gets it back from its first writer. The WAL is cut to a bounded
# size once no reader holds it (sqlite.org/wal.html).
_WRITER_PRAGMAS = ("journal_mode=WAL", f"journal_size_limit={_WAL_BYTES}")


@dataclass(frozen=True)
class Engines:
    """What a process reads with and writes with; on PostgreSQL they are the same engine."""

    reader: Engine
    writer: Engine

    @property
    def distinct(self) -> set[Engine]:
        """Each engine once."""
        return {self.reader, self.writer}

    def dispose(self, *, close: bool = True) -> None:
        """Close the pools; ``close=False`` forgets connections that belong to the process before the fork."""
        for engine in self.distinct:
            engine.dispose(close=close)


def make_engines(settings: Settings) -> Engines:
    """The engines of one process; nothing is connected yet."""
    if is_sqlite(settings):
        reader = _sqlite_engine(settings, begin=_READ, pragmas=_READER_PRAGMAS, size=settings.database_pool)
        writer = _sqlite_engine(settings, begin=_WRITE, pragmas=_WRITER_PRAGMAS, size=1)
        return Engines(reader, writer)
    engine = create_engine(
        settings.database_dsn,
        pool_pre_ping=True,
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=CONNECT_WAIT,
        connect_args=_postgresql_arguments(settings.database_timeout),
        hide_parameters=True,  # an error's text is logged: what members write and who they are is not in it
    )
    return Engines(engine, engine)


def upkeep_engine(settings: Settings) -> Engine:
    """An engine without a pool for migrations, probes and restores; it makes SQLite's file if it is not there."""
    if is_sqlite(settings):
        return _sqlite_engine(settings, begin=_WRITE, pragmas=_WRITER_PRAGMAS, create=True, wait=_LOCK_WAIT)
    return create_engine(settings.database_dsn, poolclass=NullPool, connect_args=_postgresql_arguments(_UPKEEP_WAIT))


def probe_engine(settings: Settings) -> Engine:
    """An engine that opens a connection of its own, so that a full pool does not look like a dead database."""
    if is_sqlite(settings):
        return _sqlite_engine(settings, begin=_READ, pragmas=_READER_PRAGMAS)
    return create_engine(settings.database_dsn, poolclass=NullPool, connect_args=_postgresql_arguments(1))


def is_sqlite(settings: Settings) -> bool:
    """Whether the site keeps its data in a SQLite file."""
    return _url(settings).get_backend_name() == "sqlite"


def sqlite_path(settings: Settings) -> Path:
    """The file of the SQLite database."""
    return Path(_url(settings).database or "church.db").absolute()


def _url(settings: Settings) -> URL:
    return _parsed(settings.database_dsn)


@lru_cache(maxsize=8)
def _parsed(dsn: str) -> URL:
    """Asked for with every write, and slow to read."""
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
    """``size`` 0 is no pool; ``wait`` is SQLite's own busy wait in seconds, which blocks every greenlet of a worker."""
    path = sqlite_path(settings)

    def connect() -> sqlite3.Connection:
        # mode=rw: a database that went missing is an outage, not an empty site.
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
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=0,
            pool_timeout=CONNECT_WAIT,
            hide_parameters=True,
        )
    else:
        engine = create_engine(address, creator=connect, poolclass=NullPool, hide_parameters=True)
    event.listen(engine, "begin", _beginner(begin))
    return engine


def _beginner(statements: tuple[str, ...]) -> Callable[[Connection], None]:
    def begin(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement).close()

    return begin


def _postgresql_arguments(timeout: float) -> dict[str, object]:
    """libpq's parameters: every wait is bounded, and a host that vanished is noticed within seconds."""
    limits = {
        "statement_timeout": timeout,
        "lock_timeout": min(timeout, _LOCK_WAIT) if timeout < _UPKEEP_WAIT else timeout,
        "idle_in_transaction_session_timeout": max(timeout, _IDLE_IN_TRANSACTION),
    }
    options = [f"-c {name}={int(seconds * 1000)}" for name, seconds in limits.items()]
    return {
        "connect_timeout": CONNECT_WAIT,
        "application_name": "church",
        "options": " ".join([*options, "-c timezone=UTC"]),
        "keepalives": 1,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "tcp_user_timeout": CONNECT_WAIT * 1000,
    }
