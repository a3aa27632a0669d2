"""The check of all connections of a worker: ended sessions, expired tokens, and rooms that are closed to a member."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import gevent
import pytest
from flask import Flask

from church.extensions import db
from church.live import session_watch
from church.live.hub import hub_of
from church.live.room_feed import RoomFeed
from church.live.session_watch import SessionWatch
from church.models import Grant, User
from church.models.base import utc_now
from church.services import chat, sessions
from church.services.audit import Actor
from church.services.chat import RoomView
from tests.support.accounts_fixture import change_user
from tests.support.live_stubs import StubClient, run_until
from tests.support.people import add_user, sign_in

CONSOLE = Actor(via="cli")


class Watched:
    """A watch over stub clients of real sessions, with feeds of the rooms that they have joined."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.clients: list[Any] = []
        self.feeds: dict[str, RoomFeed] = {}
        self.mark = app.config["CHURCH"].instance / "sign-ins.mark"
        self.watch = SessionWatch(self.mark, self.clients, self.connections_of, self.feeds, hub_of(app).guarded)

    def connections_of(self, ref: str) -> list[Any]:
        return [client for client in self.clients if client.ref == ref]

    def connect(self, user: User, *rooms: str) -> StubClient:
        signed_in = sessions.load(sign_in(self.app, user))
        assert signed_in is not None
        client = StubClient(signed_in, rooms=rooms)
        self.clients.append(client)
        for number, name in enumerate(rooms):
            access = "members" if name == "public" else name
            self.feeds[name] = RoomFeed(
                RoomView(number, name, name, access, 0), self.connections_of, hub_of(self.app).guarded
            )
        return client

    def check(self) -> None:
        self.watch.check(self.clients)


@pytest.fixture
def watched(at_work: Flask) -> Watched:
    return Watched(at_work)


def member(app: Flask, name: str = "ada", **changes: Any) -> User:
    return add_user(app, f"{name}@church.example", password_hash="x", **changes)


def end_session(client: StubClient) -> None:
    assert client.signed_in is not None
    with db.write() as session:
        sessions.end(session, client.signed_in.session_ref)


def grant(user: User) -> None:
    now = utc_now()
    with db.write() as session:
        until = now + timedelta(days=1)
        session.add(Grant(user_id=user.id, until=until, reason="thanks", created_at=now, granted_by=None))


def test_check_closes_only_the_connection_whose_session_ended(at_work: Flask, watched: Watched) -> None:
    ada = member(at_work)
    gone, stays = watched.connect(ada), watched.connect(ada)
    end_session(gone)
    watched.check()
    watched.check()
    assert (gone.closed, stays.closed) == ([(4401, "signed_out")], [])


@pytest.mark.parametrize(
    ("column", "closed"),
    [("disabled_at", (4401, "signed_out")), ("verified_at", (4403, "forbidden"))],
)
def test_check_closes_connections_of_a_disabled_or_unverified_member(
    at_work: Flask, watched: Watched, column: str, closed: tuple[int, str]
) -> None:
    ada = member(at_work)
    client = watched.connect(ada)
    change_user(ada.id, **{column: utc_now() if column == "disabled_at" else None})
    watched.check()
    assert client.closed == [closed]


def test_check_closes_the_rooms_of_an_admin_who_lost_the_role(at_work: Flask, watched: Watched) -> None:
    boss = member(at_work, "boss", role="admin")
    premium, admins, public = (watched.connect(boss, room) for room in ("premium", "admins", "public"))
    watched.check()
    assert [client.closed for client in (premium, admins, public)] == [[], [], []]
    change_user(boss.id, role="member")
    watched.check()
    assert [client.closed for client in (premium, admins, public)] == [[(4403, "forbidden")], [(4403, "forbidden")], []]


def test_check_closes_a_connection_whose_access_token_expired(at_work: Flask, watched: Watched) -> None:
    ada = member(at_work)
    expired, valid, cookie = (watched.connect(ada) for _ in range(3))
    expired.until, valid.until = time.time() - 1, time.time() + 600
    watched.check()
    assert [client.closed for client in (expired, valid, cookie)] == [[(4401, "token_ended")], [], []]


def test_check_leaves_a_connection_that_has_not_authenticated(watched: Watched) -> None:
    stranger = StubClient(None)
    watched.clients.append(stranger)
    watched.check()
    assert stranger.is_open


def test_check_takes_a_new_name_and_role_and_keeps_what_is_equal(at_work: Flask, watched: Watched) -> None:
    ada = member(at_work)
    client = watched.connect(ada)
    before = client.signed_in
    watched.check()
    assert client.signed_in is before
    change_user(ada.id, name="Ada Lovelace", role="admin")
    watched.check()
    assert client.signed_in is not None
    assert (client.signed_in.name, client.signed_in.is_admin, client.is_open) == ("Ada Lovelace", True, True)


def test_check_closes_a_connection_in_a_room_from_which_its_member_is_banned(at_work: Flask, watched: Watched) -> None:
    ada, eve = member(at_work), member(at_work, "eve")
    inside, outside, other = watched.connect(ada, "public"), watched.connect(ada), watched.connect(eve, "public")
    chat.ban_member(ada.ref, "public", None, "loud", CONSOLE)
    watched.check()
    assert [client.closed for client in (inside, outside, other)] == [[(4403, "forbidden")], [], []]


def test_check_closes_a_connection_in_a_premium_room_without_premium(at_work: Flask, watched: Watched) -> None:
    paid, lapsed = member(at_work), member(at_work, "eve")
    grant(paid)
    inside, outside = watched.connect(paid, "premium"), watched.connect(lapsed, "premium")
    watched.check()
    assert (inside.closed, outside.closed) == ([], [(4403, "forbidden")])
    assert inside.signed_in is not None
    assert inside.signed_in.premium


def test_check_closes_a_former_admin_in_the_admins_room(at_work: Flask, watched: Watched) -> None:
    boss = member(at_work, role="admin")
    client = watched.connect(boss, "admins")
    watched.check()
    assert client.is_open
    change_user(boss.id, role="member")
    watched.check()
    assert client.closed == [(4403, "forbidden")]


def test_check_reads_sessions_in_batches(at_work: Flask, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_PER_QUERY", 2)
    ada = member(at_work)
    clients = [watched.connect(ada) for _ in range(5)]
    end_session(clients[4])
    watched.check()
    assert [client.is_open for client in clients] == [True] * 4 + [False]


def test_published_line_checks_only_the_member_it_names(at_work: Flask, watched: Watched) -> None:
    ada, eve = watched.connect(member(at_work)), watched.connect(member(at_work, "eve"))
    for client in (ada, eve):
        end_session(client)
    watched.watch.hear('{"user":"nobody"}')
    watched.watch.hear(f'{{"user":"{ada.ref}"}}')
    run_until(lambda: ada.closed, "the check of the named member")
    assert eve.is_open
    with pytest.raises((ValueError, LookupError)):
        watched.watch.hear("{}")


@pytest.fixture
def checks(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Run the watch without a regular check; returns the number of checks so far."""
    counted: list[int] = []
    monkeypatch.setattr(session_watch, "_EVERY", 1e9)
    monkeypatch.setattr(session_watch, "_MARK_SECONDS", 0.001)
    monkeypatch.setattr(watched.watch, "check", lambda connections: counted.append(len(connections)))
    return lambda: len(counted)


def test_run_checks_at_once_when_a_session_of_this_host_ends(
    at_work: Flask, watched: Watched, checks: Callable[[], int]
) -> None:
    client = watched.connect(member(at_work))
    watching = gevent.spawn(watched.watch.run)
    try:
        end_session(client)
        run_until(checks, "the check")
    finally:
        watching.kill()
    assert Path(watched.mark).exists()


def test_run_checks_regularly_without_a_change(
    watched: Watched, checks: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_watch, "_EVERY", 0.0)
    watching = gevent.spawn(watched.watch.run)
    try:
        run_until(lambda: checks() >= 2, "two checks")
    finally:
        watching.kill()
