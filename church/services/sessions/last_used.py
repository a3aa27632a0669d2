"""Writing down when a sign-in was last used: apart from the request that uses it, which must not wait or fail."""

from __future__ import annotations

import logging
import threading

from flask import Flask
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from church.errors import UnavailableError
from church.extensions import db
from church.models.accounts import SignIn
from church.models.base import utc_now

log = logging.getLogger("church.auth")


class Toucher:
    """One thread at a time, that writes for all who asked meanwhile; holds the app for its thread's context."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._wanted: set[int] = set()
        self._writer: threading.Thread | None = None

    def touch(self, session_id: int) -> None:
        """Have the last use of this sign-in set to now."""
        self._wanted.add(session_id)
        if self._writer is None or not self._writer.is_alive():
            self._writer = threading.Thread(target=self._write, name="sessions-touch", daemon=True)
            self._writer.start()

    def _write(self) -> None:
        try:
            while self._wanted:
                touched = self._wanted.pop()
                # One row a transaction: several, locked in any order, could lock up with those that end devices.
                with self._app.app_context(), db.write() as session:
                    session.execute(update(SignIn).where(SignIn.id == touched).values(last_seen_at=utc_now()))
        except (UnavailableError, SQLAlchemyError) as error:
            log.warning("last use not kept", extra={"event": "auth.untouched", "reason": type(error).__name__})
