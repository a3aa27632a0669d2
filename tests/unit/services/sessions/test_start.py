"""Sessions are started with a token of their own, and end at once in every process."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask

from church import create_app
from church.config import Settings
from church.extensions import db
from church.lib.files import ChangeMark
from church.models.accounts import SignIn, User
from church.models.base import utc_now
from church.services import sessions
from church.services.sessions import cache
from church.services.sessions.cache import SessionCache
from tests.support.people import DEVICE, add_user, sign_in
from tests.support.sessions_fixture import change, ended, row_of


def test_token_is_not_in_the_database(app: Flask, ada: User) -> None:
    token = sign_in(app, ada)
    assert len(token) >= 43
    row = row_of(token)
    assert row.token_hash == hashlib.sha256(token.encode()).hexdigest()
    assert token not in repr({column.name: getattr(row, column.name) for column in SignIn.__table__.columns})


def test_end_is_visible_in_this_process_at_once(app: Flask, ada: User) -> None:
    token, other = sign_in(app, ada), sign_in(app, ada)
    found = sessions.load(token)
    assert found is not None
    with db.write() as session:
        assert sessions.end(session, found.session_ref)
        assert ended(token)
    assert ended(token)
    assert sessions.load_ref(found.session_ref, ada.ref) is None
    assert not ended(other)
    with db.write() as session:
        assert not sessions.end(session, found.session_ref)


def end_of(token: str, other: Flask) -> None:
    """End a session that ``other`` has cached."""
    with other.app_context():
        found = sessions.load(token)
    assert found is not None
    with db.write() as session:
        sessions.end(session, found.session_ref)


def test_end_is_visible_in_every_process_of_the_host_at_once(app: Flask, ada: User, migrated_site: Settings) -> None:
    token = sign_in(app, ada)
    other = create_app(migrated_site)
    end_of(token, other)
    with other.app_context():
        assert sessions.load(token) is None
        db.dispose()


def test_end_is_visible_on_another_host_when_its_cache_expires(
    app: Flask, ada: User, migrated_site: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "FRESH_SECONDS", 3600.0)  # however long this takes
    token = sign_in(app, ada)
    other = create_app(migrated_site)
    elsewhere = SessionCache(ChangeMark(tmp_path / "mark of another host"))
    other.extensions["sessions"] = lambda: elsewhere
    end_of(token, other)
    with other.app_context():
        assert sessions.load(token) is not None
        monkeypatch.setattr(cache, "FRESH_SECONDS", 0.0)
        assert sessions.load(token) is None
        db.dispose()


def test_end_all_keeps_the_excepted_session_and_other_members(app: Flask, ada: User) -> None:
    bob = sign_in(app, add_user(app, "bob@church.example"))
    mine, *others = (sign_in(app, ada) for _ in range(3))
    assert not any(ended(token) for token in (mine, bob, *others))
    with db.write() as session:
        assert sessions.end_all(session, ada.id, except_id=row_of(mine).id) == 2
    assert [ended(token) for token in (mine, bob, *others)] == [False, False, True, True]
    with db.write() as session:
        assert sessions.end_all(session, ada.id) == 1
    assert [ended(token) for token in (mine, bob)] == [True, False]


def test_end_device_only_by_its_owner(app: Flask, ada: User) -> None:
    bob = add_user(app, "bob@church.example")
    token = sign_in(app, ada)
    ref = row_of(token).ref
    with db.write() as session:
        assert not sessions.end_device(session, bob.id, ref)
    assert not ended(token)
    with db.write() as session:
        assert sessions.end_device(session, ada.id, ref)
    assert ended(token)


def test_start_beyond_fifty_devices_ends_the_idlest(app: Flask, ada: User) -> None:
    bob = sign_in(app, add_user(app, "bob@church.example"))
    with db.write() as session:
        first, second, *rest = [sessions.start_session(session, ada, DEVICE) for _ in range(50)]
    change(first, last_seen_at=utc_now() + timedelta(seconds=5))
    change(second, last_seen_at=utc_now() - timedelta(hours=1))
    newest = sign_in(app, ada)
    assert ended(second)
    assert not any(ended(token) for token in (first, newest, rest[0], bob))
    assert sessions.count_active() == 51
