"""Sessions on SQLite and PostgreSQL: found while they are live, one and many at once, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, insert, update

from church.config import Settings
from church.extensions import db
from church.models import Grant, SignIn, User
from church.models.base import utc_now
from church.services import sessions
from church.services.accounts import members
from church.services.audit import Actor
from church.services.entitlements import member_has_premium
from church.services.sessions import cleanup, lookup
from tests.support.accounts_fixture import change_user
from tests.support.people import add_user, sign_in
from tests.support.services_fixture import wait_until
from tests.support.sessions_fixture import change, ended, row_of


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
    change_user(ada.id, role="admin")
    found = sessions.load(token)
    assert found is not None
    assert found.is_admin
    change_user(ada.id, verified_at=None)
    found = sessions.load(token)
    assert found is not None
    assert not found.is_admin
    assert not found.is_member


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


def _add_sessions(number: int) -> None:
    """Add accounts with a session each, so that a planner has a reason to use an index."""
    now = utc_now()
    times = {"created_at": now, "last_seen_at": now, "expires_at": now + timedelta(days=1)}
    with db.write() as session:
        people = [{"ref": f"u{n}", "name": "", "source": "cli", "created_at": now} for n in range(number)]
        ids = session.scalars(insert(User).returning(User.id), people).all()
        rows = [{"user_id": i, "ref": f"s{i}", "token_hash": f"{i:064x}", **times} for i in ids]
        session.execute(insert(SignIn), [{**row, "user_agent": "", "address": ""} for row in rows])


def test_load_uses_the_index(app: Flask, ada: User) -> None:
    token = sign_in(app, ada)
    _add_sessions(300)
    found = lookup.by_token(token)
    values = {"name": found.name, **lookup.live_values(app.config["CHURCH"], utc_now())}
    query = lookup.session_query(found.column).statement.params(values)
    with db.read() as session:
        if session.get_bind().dialect.name != "sqlite":
            session.connection().exec_driver_sql("ANALYZE users, sign_ins")
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
    change_user(ada.id, email=None, **{column: utc_now()})
    assert ended(token)
    assert sessions.load_ref(row.ref, ada.ref) is None


# -- many at once -----------------------------------------------------------------------------------------------------


def test_active_count_counts_live_sessions(app: Flask, ada: User) -> None:
    assert sessions.count_active() == 0
    bob = add_user(app, "bob@church.example")
    one, _two, _bobs = sign_in(app, ada), sign_in(app, ada), sign_in(app, bob)
    assert sessions.count_active() == 3
    change(one, expires_at=utc_now())
    members.disable_account(bob.ref, Actor(via="cli"))
    assert sessions.count_active() == 1
    for facts in ({"last_seen_at": utc_now() - timedelta(days=99)}, {"created_at": utc_now() - timedelta(days=999)}):
        another = sign_in(app, ada)
        assert sessions.count_active() == 2
        change(another, **facts)
        assert sessions.count_active() == 1
    cleanup.purge({})
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


def test_facts_are_those_of_live_sessions_only(app: Flask) -> None:
    people = [add_user(app, f"{number}@church.example", role="admin") for number in range(3)]
    good, over, disabled = (row_of(sign_in(app, user)) for user in people)
    change_user(people[2].id, disabled_at=utc_now())
    with db.write() as session:
        sessions.end(session, over.ref)
    found = lookup.load_facts([good.ref, over.ref, disabled.ref, "nobody"])
    assert found == {good.ref: lookup.SessionFacts("Ada", "admin", verified=True)}


def test_premium_members_match_premium_of(app: Flask) -> None:
    people = [add_user(app, f"{number}@church.example") for number in range(4)]
    now = utc_now()
    with db.write() as session:
        for user, until, revoked in ((people[0], 1, None), (people[1], -1, None), (people[2], 1, now)):
            facts = {"reason": "thanks", "created_at": now, "granted_by": None, "revoked_at": revoked}
            session.add(Grant(user_id=user.id, until=now + timedelta(days=until), **facts))
        session.flush()
        alone = {user.id for user in people if member_has_premium(session, user.id, now)}
    together = lookup.find_premium_members([user.id for user in people])
    assert together == alone == {people[0].id}
