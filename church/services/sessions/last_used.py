"""Store when a session was last used, in a thread of its own: the request that uses it must not wait or fail."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from church.errors import UnavailableError
from church.extensions import db
from church.lib.threads import start_beside
from church.models.accounts import SignIn
from church.models.base import utc_now

log = logging.getLogger("church.auth")


class LastUsedWriter:
    """Writes the last use of sessions. At most one thread runs; it handles all requests that arrive meanwhile.

    ``app_context`` makes the app the current one in that thread.
    """

    def __init__(self, app_context: Callable[[], AbstractContextManager[Any]]) -> None:
        self._app_context = app_context
        self._lock = threading.Lock()
        self._waiting: set[int] = set()
        self._writer: threading.Thread | None = None
        self._running = False

    def touch(self, session_id: int) -> None:
        """Set the last use of this session to now, soon."""
        with self._lock:
            self._waiting.add(session_id)
            if self._running and self._writer is not None and self._writer.is_alive():
                return
            self._running = True
            self._writer = start_beside("sessions-touch", self._write)

    def _next(self) -> int | None:
        """Take a session to write; None ends the thread, under the lock, so that no session is left behind."""
        with self._lock:
            self._running = bool(self._waiting)
            return self._waiting.pop() if self._waiting else None

    def _write(self) -> None:
        try:
            while (session_id := self._next()) is not None:
                # One row a transaction: several, locked in any order, could deadlock with requests that end devices.
                with self._app_context(), db.write() as session:
                    session.execute(update(SignIn).where(SignIn.id == session_id).values(last_seen_at=utc_now()))
        except (UnavailableError, SQLAlchemyError) as error:
            self._running = False
            log.warning("last use not stored", extra={"event": "auth.untouched", "reason": type(error).__name__})
