"""The database extension: sessions for reading and writing, with time-outs, on SQLite and PostgreSQL.

On SQLite the writers of a worker wait in a line and try ``BEGIN IMMEDIATE`` without SQLite's own wait, which would
block every greenlet of the worker. Between tries they sleep, and gevent runs other greenlets. Readers take their
snapshot at the start, so that the body of a ``with db.read()`` never meets a lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from random import uniform
from time import perf_counter

from flask import Flask, current_app
from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from church import telemetry
from church.config import Settings
from church.database import migrations
from church.database.change_watch import ChangeWatch, make_change_watch
from church.database.engines import Engines, is_sqlite, make_engines, make_probe_engine
from church.database.errors import (
    DatabaseBusyError,
    DatabaseDownError,
    StatementTimeoutError,
    is_locked,
    translate_errors,
)
from church.errors import UnavailableError
from church.lib.per_process import PerProcess
from church.lib.threads import Line
from church.models.base import UtcDateTime, utc_now

__all__ = [
    "WRITE_WAIT",
    "ChangeWatch",
    "Database",
    "DatabaseBusyError",
    "DatabaseDownError",
    "ProbeResult",
    "StatementTimeoutError",
    "after_commit",
    "database_now",
]

# Seconds.
WRITE_WAIT = 5.0
READ_WAIT = 1.0
PROBE_AGE = 1.0
_FIRST_PAUSE = 0.002
_MAX_PAUSE = 0.05
_TURN = "to write"
_AFTER_COMMIT = "church_after_commit"


@dataclass(frozen=True)
class ProbeResult:
    """Result of a probe: whether the database answers, and whether all migrations that this code knows are applied."""

    answers: bool
    migrated: bool


class _State:
    """The engines and locks of one app in one process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engines: Engines | None = None
        self.out_of_reach = False
        self.making = threading.Lock()
        self.turn = Line([_TURN])
        self.writing = threading.local()
        self.reading = threading.local()
        self.probing = threading.Lock()
        self.prober: Engine | None = None
        self.probed: tuple[float, ProbeResult] | None = None

    def open(self) -> Engines:
        """The engines of this process, created at first use."""
        if self.out_of_reach:
            raise DatabaseDownError
        with self.making:
            if self.engines is None:
                self.engines = make_engines(self.settings)
                for engine in self.engines.distinct:
                    telemetry.instrument_engine(engine)
            return self.engines

    def probe(self, max_age: float) -> ProbeResult:
        """A probe at most ``max_age`` seconds old. Callers during a probe wait for its result."""
        if self.out_of_reach:
            return ProbeResult(answers=False, migrated=False)
        with self.probing:
            if self.probed is None or time.monotonic() - self.probed[0] >= max_age:
                self.prober = self.prober or make_probe_engine(self.settings)
                result = _probe(self.prober)
                self.probed = (time.monotonic(), result)
            return self.probed[1]

    @contextmanager
    def in_turn(self) -> Iterator[float]:
        """Wait for the other writers of this worker on SQLite. Yields the seconds that are left of the wait."""
        if not is_sqlite(self.settings):
            yield 0.0
            return
        started, began = time.monotonic(), perf_counter()
        try:
            self.turn.take(WRITE_WAIT)
        except TimeoutError:
            raise DatabaseBusyError from None
        finally:
            telemetry.note_wait("database.writer", began)
        try:
            yield max(0.0, started + WRITE_WAIT - time.monotonic())
        finally:
            self.turn.give(_TURN)


class _Reading:
    """A transaction to read in: begun with the first use of its connection, a session only where one is used."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._session: Session | None = None

    @property
    def connection(self) -> Connection:
        if self._connection is None:
            self._connection = _begin(_state().open().reader, READ_WAIT)
        return self._connection

    @property
    def session(self) -> Session:
        if self._session is None:
            self._session = Session(self.connection, autoflush=False, expire_on_commit=False)
        return self._session

    def end(self) -> None:
        """End the transaction; the next use begins another."""
        session, connection = self._session, self._connection
        self._session = self._connection = None
        try:
            if session is not None:
                session.close()
        finally:
            if connection is not None:
                connection.close()


class Database:
    """Flask extension with sessions of the current app: ``read()``, which a ``snapshot()`` joins, and ``write()``."""

    def init_app(self, app: Flask) -> None:
        """Set up ``app`` with the settings in ``app.config["CHURCH"]``. Nothing connects yet."""
        app.extensions["database"] = PerProcess(partial(_State, app.config["CHURCH"]))

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session for reading. Changes are never committed. Inside ``snapshot`` all have the same session.

        Raises DatabaseBusyError, StatementTimeoutError and DatabaseDownError, which are answered with 503.
        """
        with self._read() as reading:
            yield reading.session

    @contextmanager
    def read_connection(self) -> Iterator[Connection]:
        """Like ``read``, but without a session, which costs as much as a statement: for what many pages read."""
        with self._read() as reading:
            yield reading.connection

    @contextmanager
    def _read(self) -> Iterator[_Reading]:
        """Give out what the thread's snapshot reads in, or else a transaction of its own.

        An error ends it: PostgreSQL answers nothing more in a transaction in which a statement failed.
        """
        shared: _Reading | None = getattr(_state().reading, "snapshot", None)
        reading = shared or _Reading()
        with translate_errors(reading=True):
            try:
                yield reading
            except (SQLAlchemyError, UnavailableError):
                reading.end()
                raise
            finally:
                if shared is None:
                    reading.end()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read in one transaction: no ``read`` in the block opens another.

        On SQLite all see the same moment, on PostgreSQL each statement that at which it begins.

        For views that read from several services. The transaction begins with the first ``read``; a ``write``, or an
        error of the database, ends it, so that the next ``read`` begins another. Other threads are not part of it.
        """
        reading = _state().reading
        if getattr(reading, "snapshot", None) is not None:
            yield
            return
        reading.snapshot = _Reading()
        try:
            yield
        finally:
            reading.snapshot.end()
            reading.snapshot = None

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a session whose changes are committed at the end, or rolled back by an exception.

        Do nothing slow inside: on SQLite all other writers of the site wait. Raises DatabaseBusyError after 5 s of
        waiting for other writers, StatementTimeoutError, DatabaseDownError, and RuntimeError inside another
        ``write``.
        """
        with self.write_connection() as connection:
            with Session(connection, expire_on_commit=False, join_transaction_mode="rollback_only") as session:
                yield session
                session.flush()
            connection.commit()
        for done in session.info.get(_AFTER_COMMIT, ()):
            done()

    @contextmanager
    def write_connection(self) -> Iterator[Connection]:
        """Like ``write``, but without a session, which costs as much as a statement: for what many members do often."""
        state = _state()
        writer = state.open().writer
        if getattr(state.writing, "now", False):
            raise RuntimeError("db.write() inside db.write(): pass the outer session on instead of opening another")
        state.writing.now = True
        try:
            with translate_errors(), state.in_turn() as wait, _begin(writer, wait) as connection:
                yield connection
                if connection.in_transaction():
                    connection.commit()
        finally:
            state.writing.now = False
            shared: _Reading | None = getattr(state.reading, "snapshot", None)
            if shared is not None:
                shared.end()

    def probe(self, max_age: float = PROBE_AGE) -> ProbeResult:
        """Check the database, within about 2 s and independent of the pool. Never raises a database error.

        A process opens one connection at a time for this and shares the result for ``max_age`` seconds, so that
        frequent calls can't use up the server's connections.
        """
        return _state().probe(max_age)

    def watch(self, channel: str) -> ChangeWatch:
        """A watch that notices changes: on SQLite every commit, on PostgreSQL notices of ``channel``.

        It has a connection of its own, and is for one thread.
        """
        return make_change_watch(_state().settings, channel)

    @contextmanager
    def local_only(self, app: Flask) -> Iterator[None]:
        """Read SQLite in the block, but connect to no server: that database looks down. Close what was opened."""
        state: _State = app.extensions["database"]()
        state.out_of_reach = not is_sqlite(state.settings)
        try:
            yield
        finally:
            state.out_of_reach = False
            with app.app_context():
                self.dispose()

    def dispose(self) -> None:
        """Close this process's connections and forget the last probe. The next session connects again."""
        state = _state()
        state.probed = None
        if state.engines is not None:
            state.engines.dispose()


def after_commit(session: Session, done: Callable[[], None]) -> None:
    """Call ``done`` once the caller's ``db.write()`` has been committed, never if it fails."""
    session.info.setdefault(_AFTER_COMMIT, []).append(done)


def _probe(engine: Engine) -> ProbeResult:
    answers = migrated = False
    try:
        with translate_errors(reading=True), _begin(engine, READ_WAIT) as connection:
            connection.execute(text("SELECT 1"))
            answers = True
            migrated = migrations.is_migrated(connection)
    except (DatabaseBusyError, StatementTimeoutError):
        answers = True  # slow, or locked, but there
    except (SQLAlchemyError, UnavailableError):
        pass
    return ProbeResult(answers, migrated)


def _state() -> _State:
    state: PerProcess[_State] | None = current_app.extensions.get("database")
    if state is None:
        raise RuntimeError("This app has no database: call db.init_app(app) in the factory")
    return state()


def _begin(engine: Engine, wait: float) -> Connection:
    """Open a connection in a transaction, trying for ``wait`` seconds while another writer has SQLite's lock."""
    deadline, began = time.monotonic() + wait, perf_counter()
    pause = _FIRST_PAUSE
    while True:
        connection = None
        try:
            connection = engine.connect()
            connection.begin()
        except BaseException as error:
            if connection is not None:
                connection.close()
            locked = isinstance(error, OperationalError) and is_locked(error)
            if not locked or time.monotonic() + pause > deadline:
                raise
        else:
            telemetry.note_wait("database", began)
            return connection
        time.sleep(pause * uniform(0.5, 1.0))  # noqa: S311 (not a secret)
        pause = min(pause * 2, _MAX_PAUSE)


def database_now(session: Session) -> datetime:
    """Current time in UTC by the database's clock, which all hosts share. Leases are measured by it."""
    if session.get_bind().dialect.name == "sqlite":
        return utc_now()
    now: datetime = session.scalars(select(func.clock_timestamp(type_=UtcDateTime()))).one()
    return now
