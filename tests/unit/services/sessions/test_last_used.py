"""The last use of a session is stored outside the request, and at most once a minute."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from church.database.errors import DatabaseDownError
from church.extensions import db
from church.models.accounts import User
from church.models.base import utc_now
from church.services import sessions
from tests.support.people import sign_in
from tests.support.services_fixture import wait_until
from tests.support.sessions_fixture import change, ended, row_of


@pytest.fixture(autouse=True)
def _writer_ends(app: Flask) -> Iterator[None]:
    """Let the writer's thread give back its connection before the database is closed."""
    yield
    writer = app.extensions["session_touch"]()._writer
    if writer is not None:
        writer.join(60)
        assert not writer.is_alive()


@pytest.mark.parametrize("off", [timedelta(minutes=-2), timedelta(days=3)])
def test_last_use_is_stored_outside_the_request(app: Flask, ada: User, off: timedelta) -> None:
    token = sign_in(app, ada)
    change(token, last_seen_at=utc_now() + off)  # in the future: the clock was set back
    assert not ended(token)
    wait_until(lambda: abs(utc_now() - row_of(token).last_seen_at) < timedelta(seconds=30), "the use is stored")


def test_last_use_within_a_minute_is_not_stored(app: Flask, ada: User) -> None:
    token = sign_in(app, ada)
    change(token, last_seen_at=utc_now() - timedelta(seconds=50))
    assert not ended(token)
    assert app.extensions["session_touch"]()._writer is None


def test_last_use_that_cannot_be_stored_fails_no_request(
    app: Flask, ada: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down() -> Any:
        raise DatabaseDownError

    token = sign_in(app, ada)
    change(token, last_seen_at=utc_now() - timedelta(minutes=2))
    with monkeypatch.context() as broken:
        broken.setattr(db, "write", down)
        assert not ended(token)
        wait_until(lambda: any(getattr(r, "event", "") == "auth.untouched" for r in caplog.records), "it is logged")
    sessions.forget_cached()
    assert not ended(token)
    wait_until(lambda: utc_now() - row_of(token).last_seen_at < timedelta(seconds=30), "the next use is stored")
