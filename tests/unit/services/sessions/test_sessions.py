"""Sessions on SQLite and PostgreSQL: found while they are live, and nowhere after their end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, func, select, update

from church import create_app
from church.config import Settings
from church.database.errors import DatabaseDownError
from church.extensions import db
from church.lib.files import ChangeMark
from church.models.accounts import Link, SignIn, User
from church.models.base import utc_now
from church.services import sessions
from church.services.sessions import Device, cache, cleanup, lookup
from church.services.sessions.cache import SessionCache
from tests.support.people import DEVICE, add_user, sign_in
from tests.support.services_fixture import wait_until


@pytest.fixture
def app(migrated_site: Settings) -> Iterator[Flask]:
    app = create_app(migrated_site)
    with app.app_context():
        yield app
        db.dispose()


@pytest.fixture
def ada(app: Flask) -> User:
    return add_user(app)


def change(token: str, **values: Any) -> None:
    """Set columns of the session of ``token``, as time or another host would."""
    with db.write() as session:
        session.execute(update(SignIn).where(SignIn.token_hash == lookup.hash_token(token)).values(**values))
    sessions.forget_cached()


def change_user(user: User, **values: Any) -> None:
    with db.write() as session:
        session.execute(update(User).where(User.id == user.id).values(**values))
    sessions.forget_cached()


def row_of(token: str) -> SignIn:
    with db.read() as session:
        return session.scalars(select(SignIn).where(SignIn.token_hash == lookup.hash_token(token))).one()


def ended(token: str) -> bool:
    return sessions.load(token) is None


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect the statements that this process sends inside the block."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    engine = db_engine()
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def db_engine() -> Any:
    with db.read() as session:
        return session.get_bind().engine


# -- finding --------------------------------------------------------------------------------------------------------


def test_load_token_returns_the_member(app: Flask, ada: User) -> None:
    token = sign_in(app, ada)
    found = sessions.load(token)
    assert found is not None
    assert (found.user_id, found.ref, found.name, found.email) == (ada.id, ada.ref, "Ada", "ada@church.example")
    assert (found.verified, found.is_member, found.is_admin, found.premium) == (True, True, False, False)
    assert found.get_id() == found.token == token
    assert (found.session_id, found.session_ref) == (row_of(token).id, row_of(token).ref)
    assert not hasattr(found, "password_hash")


def test_is_admin_needs_a_confirmed_address(app: Flask, ada: User) -> None:
    token = sign_in(app, ada)
    change_user(ada, role="admin")
    found = sessions.load(token)
    assert found is not None
    assert found.is_admin
    change_user(ada, verified_at=None)
    found = sessions.load(token)
    assert found is not None
    assert not found.is_admin
    assert not found.is_member


def test_token_is_not_in_the_database(app: Flask, ada: User) -> None:
    token = sign_in(app, ada)
    assert len(token) >= 43
    row = row_of(token)
    assert row.token_hash == hashlib.sha256(token.encode()).hexdigest()
    assert token not in repr({column.name: getattr(row, column.name) for column in SignIn.__table__.columns})


@pytest.mark.parametrize("token", ["", "unknown", "x" * 100_000, "\ud800", "' OR 1=1 --", "\x00"])
def test_load_unknown_token_is_none(app: Flask, ada: User, token: str) -> None:
    sign_in(app, ada)
    assert sessions.load(token) is None


def test_load_token_hash_is_none(app: Flask, ada: User) -> None:
    assert sessions.load(row_of(sign_in(app, ada)).token_hash) is None


def test_load_reads_once_and_is_cached(app: Flask, ada: User) -> None:
    token = sign_in(app, ada)
    with statements() as sent:
        for _ in range(5):
            assert sessions.load(token) is not None
            assert sessions.load("unknown") is None
    assert [one.partition(" JOIN ")[2][:5] for one in sent if "FROM sign_ins" in one] == ["users", "users"]
    assert not [one for one in sent if "FROM users" in one]


def test_load_uses_the_index(app: Flask, ada: User) -> None:
    token = sign_in(app, ada)
    found = lookup.by_token(token)
    query = select(SignIn.id).where(found.condition)
    with db.read() as session:
        if session.get_bind().dialect.name != "sqlite":
            session.connection().exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN " if session.get_bind().dialect.name == "sqlite" else "EXPLAIN "
        text = str(query.compile(session.get_bind(), compile_kwargs={"literal_binds": True}))
        plan = " ".join(str(row) for row in session.connection().exec_driver_sql(explain + text))
    assert "sqlite_autoindex_sign_ins" in plan or "uq_sign_ins_token_hash" in plan


def test_load_since_reads_again(app: Flask, ada: User) -> None:
    token = sign_in(app, ada)
    before = sessions.load(token)
    with db.write() as session:
        session.execute(update(User).values(name="Ada Lovelace"))
    again, fresh = sessions.load(token), sessions.load(token, since=utc_now().timestamp())
    assert before is not None
    assert again == before
    assert fresh is not None
    assert fresh.name == "Ada Lovelace"


def test_load_ref_needs_session_and_account(app: Flask, ada: User) -> None:
    bob = add_user(app, "bob@church.example")
    row = row_of(sign_in(app, ada))
    found = sessions.load_ref(row.ref, ada.ref)
    assert found is not None
    assert (found.user_id, found.token) == (ada.id, "")
    assert sessions.load_ref(row.ref, bob.ref) is None
    assert sessions.load_ref("0" * 16, ada.ref) is None


# -- expiry -----------------------------------------------------------------------------------------------------------


def test_session_idle_too_long_ends(app: Flask, ada: User, migrated_site: Settings) -> None:
    token = sign_in(app, ada)
    idle = timedelta(seconds=migrated_site.session_idle)
    change(token, last_seen_at=utc_now() - idle + timedelta(minutes=1))
    assert not ended(token)
    wait_until(lambda: row_of(token).last_seen_at > utc_now() - timedelta(seconds=30), "the use is stored")
    change(token, last_seen_at=utc_now() - idle)
    assert ended(token)


def test_session_expires_however_much_it_is_used(app: Flask, ada: User) -> None:
    token = sign_in(app, ada)
    change(token, expires_at=utc_now() + timedelta(minutes=1))
    assert not ended(token)
    change(token, expires_at=utc_now())
    assert ended(token)


def test_session_lifetime_setting_applies_to_old_sessions(app: Flask, ada: User, migrated_site: Settings) -> None:
    token = sign_in(app, ada)
    assert row_of(token).expires_at - row_of(token).created_at == timedelta(seconds=migrated_site.session_lifetime)
    change(token, created_at=utc_now() - timedelta(hours=2))
    assert not ended(token)
    app.config["CHURCH"] = migrated_site.model_copy(update={"session_lifetime": 3600})
    sessions.forget_cached()
    assert ended(token)


@pytest.mark.parametrize("column", ["disabled_at", "deleted_at"])
def test_session_of_inactive_account_ends(app: Flask, ada: User, column: str) -> None:
    token = sign_in(app, ada)
    row = row_of(token)
    change_user(ada, email=None, **{column: utc_now()})
    assert ended(token)
    assert sessions.load_ref(row.ref, ada.ref) is None


# -- ending ---------------------------------------------------------------------------------------------------------


def test_end_is_visible_in_this_process_at_once(app: Flask, ada: User) -> None:
    token, other = sign_in(app, ada), sign_in(app, ada)
    found = sessions.load(token)
    assert found is not None
    with db.write() as session:
        assert sessions.end(session, found.session_id)
        assert ended(token)
    assert ended(token)
    assert sessions.load_ref(found.session_ref, ada.ref) is None
    assert not ended(other)
    with db.write() as session:
        assert not sessions.end(session, found.session_id)


def end_of(token: str, other: Flask) -> None:
    """End a session that ``other`` has cached."""
    with other.app_context():
        found = sessions.load(token)
    assert found is not None
    with db.write() as session:
        sessions.end(session, found.session_id)


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
    token = sign_in(app, ada)
    other = create_app(migrated_site)
    other.extensions["sessions"] = SessionCache(ChangeMark(tmp_path / "mark of another host"))
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


# -- lists and counts -------------------------------------------------------------------------------------------------


def test_list_devices_has_live_sessions_of_the_member_only(app: Flask, ada: User) -> None:
    sign_in(app, add_user(app, "bob@church.example"))
    gone, old, new = sign_in(app, ada), sign_in(app, ada), sign_in(app, ada, Device("2001:db8::1", "curl/8.5.0\n"))
    change(gone, expires_at=utc_now())
    change(old, last_seen_at=utc_now() - timedelta(hours=1))
    shown = sessions.list_devices(ada.id, row_of(old).id)
    assert [(one.label, one.address, one.current) for one in shown] == [
        ("curl", "2001:db8::1", False),
        ("Firefox on Linux", "192.0.2.7", True),
    ]
    assert [one.ref for one in shown] == [row_of(new).ref, row_of(old).ref]
    assert shown[1].last_seen_at < shown[1].created_at <= utc_now()


def test_active_count_counts_live_sessions(app: Flask, ada: User) -> None:
    assert sessions.count_active() == 0
    bob = add_user(app, "bob@church.example")
    one, _two, _bobs = sign_in(app, ada), sign_in(app, ada), sign_in(app, bob)
    assert sessions.count_active() == 3
    change(one, expires_at=utc_now())
    change_user(bob, disabled_at=utc_now())
    assert sessions.count_active() == 1


def test_scrape_shows_active_sessions(app: Flask, ada: User) -> None:
    sign_in(app, ada)
    metric = next(one for one in app_state(app) if one.name == "auth_sessions_active")
    assert metric.shared
    assert list(metric.read()) == [((), 1.0)]


def app_state(app: Flask) -> list[Any]:
    from church import scrape_values
    from church.telemetry import Telemetry

    telemetry = Telemetry()
    scrape_values.register(app, telemetry)
    return telemetry.state.metrics


# -- last use -------------------------------------------------------------------------------------------------------


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
    assert app.extensions["session_touch"]._writer is None


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


# -- purge ----------------------------------------------------------------------------------------------------------


def test_purge_removes_only_ended_sessions_and_links(app: Flask, ada: User) -> None:
    bob = add_user(app, "bob@church.example")
    good, idle, old, _bobs = (sign_in(app, who) for who in (ada, ada, ada, bob))
    change(idle, last_seen_at=utc_now() - timedelta(days=100))
    change(old, expires_at=utc_now() - timedelta(seconds=1))
    change_user(bob, disabled_at=utc_now())
    with db.write() as session:
        for hours in (-1, 1):
            at = utc_now() + timedelta(hours=hours)
            session.add(Link(nonce="n", purpose="verify", user_id=ada.id, created_at=utc_now(), expires_at=at))
    cleanup.purge({})
    with db.read() as session:
        assert session.scalars(select(SignIn.token_hash)).all() == [lookup.hash_token(good)]
        assert session.scalar(select(func.count()).select_from(Link)) == 1


def test_purge_runs_every_hour() -> None:
    from church.jobs import registry

    assert registry.registered_schedules()["accounts.purge"] == timedelta(hours=1)
