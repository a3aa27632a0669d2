"""The database extension: sessions to read and to write with, bounded in time, on SQLite and PostgreSQL.

On SQLite the writers of a worker queue on a lock and try ``BEGIN IMMEDIATE`` without a wait in C, which would
stop every greenlet of the worker; between tries they sleep, and gevent lets the others run. Readers take their
snapshot at the start, so that the body of a ``with db.read()`` never meets a lock.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from random import uniform

from flask import Flask, current_app
from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from church import telemetry
from church.config import Settings
from church.database import migrations
from church.database.engines import Engines, is_sqlite, make_engines, probe_engine
from church.database.errors import DatabaseBusyError, DatabaseDownError, is_locked, translated
from church.errors import UnavailableError
from church.models.base import utc_now

__all__ = ["Database", "DatabaseBusyError", "DatabaseDownError", "Probed", "after_commit", "database_now"]

# Seconds.
WRITE_WAIT = 5.0
READ_WAIT = 1.0
PROBE_AGE = 1.0
_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05
_AFTER_COMMIT = "church_after_commit"


@dataclass(frozen=True)
class Probed:
    """What a probe found: whether the database answers, and whether it is at the head of the migrations."""

    answers: bool
    migrated: bool


class _State:
    """What one app has in one process; a forked child makes its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engines: Engines | None = None
        self._start()

    def _start(self) -> None:
        """Locks are made here and not at import, where gevent may not have patched ``threading`` yet."""
        self.pid = os.getpid()
        self.making = threading.Lock()
        self.turn = threading.Lock()
        self.writing = threading.local()
        self.probing = threading.Lock()
        self.prober: Engine | None = None
        self.probed: tuple[float, Probed] | None = None

    def _adopt(self) -> None:
        """Leave what is the parent's to it, after a fork."""
        if self.pid != os.getpid():
            if self.engines is not None:
                self.engines.dispose(close=False)  # the sockets are the parent's: closing them would end its sessions
            self.engines = None
            self._start()

    def open(self) -> Engines:
        """The engines of this process."""
        self._adopt()
        with self.making:
            if self.engines is None:
                self.engines = make_engines(self.settings)
                for engine in self.engines.distinct:
                    telemetry.instrument_engine(engine)
            return self.engines

    def probe(self, max_age: float) -> Probed:
        """A probe at most ``max_age`` seconds old; whoever comes while one is under way waits for what it finds."""
        self._adopt()
        with self.probing:
            if self.probed is None or time.monotonic() - self.probed[0] >= max_age:
                self.prober = self.prober or probe_engine(self.settings)
                found = _probe(self.prober)
                self.probed = (time.monotonic(), found)
            return self.probed[1]

    @contextmanager
    def in_turn(self) -> Iterator[float]:
        """Wait for this worker's other writers on SQLite; gives the seconds of the wait that are left."""
        if not is_sqlite(self.settings):
            yield 0.0
            return
        started = time.monotonic()
        if not self.turn.acquire(timeout=WRITE_WAIT):
            raise DatabaseBusyError
        try:
            yield max(0.0, started + WRITE_WAIT - time.monotonic())
        finally:
            self.turn.release()


class Database:
    """``db.read()`` and ``db.write()`` for the app in whose context they are called. Holds no app itself."""

    def init_app(self, app: Flask) -> None:
        """Keep a state for ``app`` by ``app.config["CHURCH"]``; connects to nothing yet."""
        app.extensions["database"] = _State(app.config["CHURCH"])

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session to read with; nothing that it does is kept.

        Raises DatabaseBusyError and DatabaseDownError, both answered with 503.
        """
        with (
            translated(reading=True),
            _begin(_state().open().reader, READ_WAIT) as connection,
            Session(connection, autoflush=False, expire_on_commit=False) as session,
        ):
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose changes are committed at the end, or rolled back by an exception.

        Do nothing slow inside: on SQLite every other writer of the site waits. Raises DatabaseBusyError after 5 s
        of waiting for them, DatabaseDownError, and RuntimeError inside another ``write``.
        """
        state = _state()
        writer = state.open().writer
        if getattr(state.writing, "now", False):
            raise RuntimeError("db.write() inside db.write(): hand the outer session on instead of opening another")
        state.writing.now = True
        try:
            with translated(), state.in_turn() as wait, _begin(writer, wait) as connection:
                with Session(connection, expire_on_commit=False, join_transaction_mode="rollback_only") as session:
                    yield session
                    session.flush()
                connection.commit()
            for done in session.info.get(_AFTER_COMMIT, ()):
                done()
        finally:
            state.writing.now = False

    def probe(self, max_age: float = PROBE_AGE) -> Probed:
        """How the database is, within about 2 s, whatever the pool is busy with; never raises what it raises.

        A process opens one connection at a time for this and shares what it finds for ``max_age`` seconds, so that
        nobody who asks often can use up the server's connections.
        """
        return _state().probe(max_age)

    def dispose(self) -> None:
        """Close this process's connections and forget the last probe; the next session opens new ones."""
        state = _state()
        state.probed = None
        if state.pid == os.getpid() and state.engines is not None:
            state.engines.dispose()


def after_commit(session: Session, done: Callable[[], None]) -> None:
    """Have ``done`` called when what the caller's ``db.write()`` has written is everybody's; never if that fails."""
    session.info.setdefault(_AFTER_COMMIT, []).append(done)


def _probe(engine: Engine) -> Probed:
    head = migrations.head()
    answers = migrated = False
    with suppress(SQLAlchemyError, UnavailableError), translated(reading=True), _begin(engine, READ_WAIT) as connection:
        connection.execute(text("SELECT 1"))
        answers = True
        migrated = migrations.current(connection) == head
    return Probed(answers, migrated)


def _state() -> _State:
    state = current_app.extensions.get("database")
    if not isinstance(state, _State):
        raise RuntimeError("This app has no database: call db.init_app(app) in the factory")  # noqa: TRY004 (no type is wrong)
    return state


def _begin(engine: Engine, wait: float) -> Connection:
    """A connection in a transaction; tries for ``wait`` seconds while another holds SQLite's lock."""
    deadline = time.monotonic() + wait
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
            return connection
        time.sleep(pause * uniform(0.5, 1.0))  # noqa: S311 (a pause, no secret)
        pause = min(pause * 2, _LONGEST_PAUSE)


def database_now(session: Session) -> datetime:
    """Read the clock that leases are measured by: the database's, one for all hosts."""
    if session.get_bind().dialect.name == "sqlite":
        return utc_now()
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    return now
