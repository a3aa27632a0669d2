"""Wait for changes of the database, without a query each time.

On SQLite ``PRAGMA data_version`` says each second whether another connection has committed; it reads no table. On
PostgreSQL the process listens to a channel (LISTEN), and sleeps until a notice comes.

A pooler such as PgBouncer in transaction mode passes no notices on. It gives a client a process id of its own at the
start, not that of the server's process. Then, and while no connection can be made, ``wait`` returns after a second as
if something had changed.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.exc import SQLAlchemyError

from church.config import Settings
from church.database.engines import is_sqlite, make_watch_engine

log = logging.getLogger("church.database")

POLL = 1.0  # seconds between two looks at SQLite's data_version, and without notices
_RECONNECT = 30.0  # seconds between attempts to listen, after one that failed


class PoolerError(ConnectionError):
    """The connection leads to a pooler, which passes no notices on."""


class ChangeWatch:
    """Notices changes for one thread. Call ``arm``, read what you need, then ``wait`` for what has changed since."""

    def __init__(self, settings: Settings) -> None:
        self._engine: Engine = make_watch_engine(settings)
        self._connection: PoolProxiedConnection | None = None
        self._inbox, self._outbox = socket.socketpair()
        self._inbox.setblocking(False)
        self._outbox.setblocking(False)
        self._failed_at: float | None = None

    def wake(self) -> None:
        """End the ``wait`` of now, or the next one. Any thread and any signal handler may call this."""
        with suppress(OSError):  # full: it will be woken anyway; or closed
            self._outbox.send(b"\0")

    def arm(self) -> None:
        """Let changes from here on end the next ``wait``. Connects where there is no connection; never raises."""
        if self._connection is not None:
            try:
                self._forget_changes(self._connection.driver_connection)
            except self._errors():
                self._disconnect()
        may_connect = self._failed_at is None or time.monotonic() - self._failed_at >= _RECONNECT
        if self._connection is None and may_connect:
            self._connect()

    def wait(self, seconds: float) -> bool:
        """Wait up to ``seconds``; whether something may have changed. May return False sooner."""
        if self._connection is None:
            self._sleep(min(seconds, POLL))
            return True
        try:
            return self._wait_for_change(self._connection.driver_connection, seconds)
        except self._errors():
            self._disconnect()
            return True

    def close(self) -> None:
        """Close the connection."""
        self._disconnect()
        self._inbox.close()
        self._outbox.close()

    def _sleep(self, seconds: float, *sockets: Any) -> bool:
        """Sleep until ``wake``, or until one of the sockets can be read; False if the time is over."""
        ready = select.select([self._inbox, *sockets], [], [], max(0.0, seconds))[0]
        if self._inbox in ready:
            with suppress(BlockingIOError):
                while self._inbox.recv(512):
                    pass
        return bool(ready)

    def _connect(self) -> None:
        try:
            self._connection = self._engine.raw_connection()
            self._start(self._connection.driver_connection)
            self._forget_changes(self._connection.driver_connection)
        except self._errors() as error:
            self._disconnect()
            if self._failed_at is None:
                facts = {"event": "database.polling", "reason": type(error).__name__}
                log.info("no notices of changes: looking for them each second", extra=facts)
            self._failed_at = time.monotonic()
        else:
            if self._failed_at is not None:
                log.info("notices of changes come again", extra={"event": "database.listening"})
            self._failed_at = None

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*self._errors()):
                connection.invalidate()

    def _errors(self) -> tuple[type[Exception], ...]:
        return SQLAlchemyError, OSError, self._engine.dialect.loaded_dbapi.Error

    # -- of each database, with the driver's connection ----------------------------------------------------------------

    def _start(self, connection: Any) -> None:
        """Prepare a new connection."""
        raise NotImplementedError

    def _forget_changes(self, connection: Any) -> None:
        """Forget what has changed until now."""
        raise NotImplementedError

    def _wait_for_change(self, connection: Any, seconds: float) -> bool:
        raise NotImplementedError


class _SqliteWatch(ChangeWatch):
    _version = 0

    def _start(self, connection: Any) -> None:
        """Nothing to prepare."""

    def _forget_changes(self, connection: Any) -> None:
        self._version = _data_version(connection)

    def _wait_for_change(self, connection: Any, seconds: float) -> bool:
        return self._sleep(min(seconds, POLL)) or _data_version(connection) != self._version


class _PostgresqlWatch(ChangeWatch):
    def __init__(self, settings: Settings, channel: str) -> None:
        super().__init__(settings)
        self._listen = f'LISTEN "{channel}"'

    def _start(self, connection: Any) -> None:
        """Listen. Raises PoolerError behind a pooler."""
        [own] = connection.execute("SELECT pg_backend_pid()").fetchone()
        if own != connection.info.backend_pid:
            raise PoolerError
        connection.execute(self._listen)

    def _forget_changes(self, connection: Any) -> None:
        _take_notices(connection)

    def _wait_for_change(self, connection: Any, seconds: float) -> bool:
        if _take_notices(connection):
            return True
        return self._sleep(seconds, connection.fileno())  # a lost connection can be read, too: ``arm`` finds out


def _data_version(connection: Any) -> int:
    [version] = connection.execute("PRAGMA data_version").fetchone()
    return int(version)


def _take_notices(connection: Any) -> bool:
    """Whether notices have come. Raises the driver's error if the connection is lost."""
    connection.pgconn.consume_input()
    found = False
    while connection.pgconn.notifies() is not None:
        found = True
    return found


def make_change_watch(settings: Settings, channel: str) -> ChangeWatch:
    """Watch the database of ``settings``; ``channel`` is the one of PostgreSQL. Nothing connects yet."""
    return _SqliteWatch(settings) if is_sqlite(settings) else _PostgresqlWatch(settings, channel)
