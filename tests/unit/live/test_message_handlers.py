"""The answer to each message of a client: authentication, rooms, messages, and what fails."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from flask import Flask
from sqlalchemy import update

from church.extensions import db
from church.live import frame_budget, member_limits, message_handlers
from church.live.hub import Hub, hub_of
from church.models import Grant, SignIn, User
from church.models.base import utc_now
from church.observability.metrics import definitions
from church.services import chat, sessions
from church.services.audit import Actor
from church.services.chat import posting_limits
from church.services.sessions.cache import current_cache
from tests.support.accounts_fixture import change_user
from tests.support.helpers import captured_log, grows
from tests.support.live_fixture import token_of
from tests.support.live_stubs import StubClient, run_until
from tests.support.people import add_user, sign_in
from tests.support.services_fixture import wait_until

ROOM = "public"


@pytest.fixture
def hub(at_work: Flask) -> Hub:
    """The hub of the site, which hears what this process publishes; its greenlets do not run."""
    one = hub_of(at_work)
    one.relay.listen_here()
    return one


@pytest.fixture
def ada(at_work: Flask) -> User:
    return add_user(at_work, password_hash="x")


@pytest.fixture
def client(at_work: Flask, hub: Hub, ada: User) -> Any:
    """A client of Ada's, signed in by cookie."""
    return signed_in_client(at_work, hub, ada)


def signed_in_client(app: Flask, hub: Hub, user: User) -> Any:
    one: Any = StubClient(sessions.load(sign_in(app, user)))
    assert hub.admit(one, one.signed_in)
    return one


def say(hub: Hub, client: Any, *messages: dict[str, Any] | str) -> list[dict[str, Any]]:
    """Hand over messages, and return what the client is sent until all have been answered."""
    before = len(client.sent)
    for message in messages:
        hub.on_text(client, message if isinstance(message, str) else json.dumps(message))
    run_until(lambda: client.inbox is None, "the answers")
    answers: list[dict[str, Any]] = client.sent[before:]
    return answers


def error_of(frames: list[dict[str, Any]]) -> str:
    (frame,) = frames
    assert frame["type"] == "error"
    code: str = frame["code"]
    return code


def auth_attempts(outcome: str) -> object:
    return definitions.auth_attempts.labels("websocket", outcome)


# -- any message ------------------------------------------------------------------------------------------------------


def test_messages_are_answered_in_order(hub: Hub, client: Any) -> None:
    frames = say(hub, client, {"type": "ping"}, "no JSON", {"type": "dance"}, {"type": "ping"})
    assert [frame.get("code", frame["type"]) for frame in frames] == ["pong", "invalid", "unknown_type", "pong"]


def test_closed_client_gets_no_more_answers(hub: Hub, client: Any) -> None:
    client.is_open = False
    assert say(hub, client, {"type": "ping"}) == []


def test_client_without_a_sign_in_may_only_ping(hub: Hub) -> None:
    stranger = StubClient(None)
    assert say(hub, stranger, {"type": "ping"})[0]["type"] == "pong"
    for kind in ("subscribe_room", "chat", "history", "leave_room", "presence", "typing"):
        assert error_of(say(hub, stranger, {"type": kind, "room": ROOM})) == "unauthenticated"
    assert hub.rooms.feeds == {}


def test_handler_that_fails_is_logged_and_the_client_stays(
    hub: Hub, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "load_open_room", lambda *_args: 1 / 0)
    with captured_log() as log:
        assert error_of(say(hub, client, {"type": "subscribe_room", "room": ROOM})) == "failed"
    assert [(r["event"], r["kind"]) for r in log.records if r["event"] == "live.frame_failed"] == [
        ("live.frame_failed", "subscribe_room")
    ]
    assert client.is_open


# -- signing in -------------------------------------------------------------------------------------------------------


def test_auth_by_token_or_cookie_registers_the_member(at_work: Flask, hub: Hub, ada: User) -> None:
    by_token, by_cookie = StubClient(None), StubClient(None)
    row = sessions.load(sign_in(at_work, ada))
    assert row is not None
    by_cookie.cookie = (row.session_ref, ada.ref)
    with grows(auth_attempts("success"), by=2):
        (frame,) = say(hub, by_token, {"type": "auth", "token": token_of(at_work, ada)})
        say(hub, by_cookie, {"type": "auth"})
    assert frame == {"type": "auth_success", "ref": ada.ref, "name": "Ada"}
    assert set(hub.connections_of(ada.ref)) == {by_token, by_cookie}
    assert by_token.until is not None
    assert by_token.until > time.time()
    assert by_cookie.until is None


@pytest.mark.parametrize("fields", [{}, {"token": "invalid"}])
def test_auth_without_a_valid_sign_in_closes_with_4401(hub: Hub, fields: dict[str, str]) -> None:
    stranger = StubClient(None)
    with grows(auth_attempts("failed_credentials")):
        say(hub, stranger, {"type": "auth", **fields})
    assert (stranger.kinds(), stranger.closed) == (["auth_failed"], [(4401, "unauthenticated")])


def test_auth_of_an_unconfirmed_or_another_member_closes_with_4403(at_work: Flask, hub: Hub, client: Any) -> None:
    new = add_user(at_work, "new@church.example", verified=False, password_hash="x")
    eve = add_user(at_work, "eve@church.example", password_hash="x")
    unconfirmed = StubClient(None)
    for one, user in ((unconfirmed, new), (client, eve)):
        say(hub, one, {"type": "auth", "token": token_of(at_work, user)})
        assert one.closed == [(4403, "unauthenticated")]
    assert not hub.connections_of(new.ref)


def test_auth_over_the_members_limit_closes_with_4429(
    at_work: Flask, hub: Hub, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_most_of_member", 1)
    token = token_of(at_work, ada)
    clients = [StubClient(None) for _ in range(2)]
    for one in clients:
        say(hub, one, {"type": "auth", "token": token})
    assert [one.closed for one in clients] == [[], [(4429, "unauthenticated")]]


def test_message_after_the_session_ended_closes_with_4401(hub: Hub, client: Any) -> None:
    with db.write() as session:
        sessions.end(session, client.signed_in.session_ref)
    assert error_of(say(hub, client, {"type": "subscribe_room", "room": ROOM})) == "unauthenticated"
    assert client.closed == [(4401, "signed_out")]


def test_message_after_the_token_expired_closes_with_4401(hub: Hub, client: Any) -> None:
    client.until = time.time() - 1
    say(hub, client, {"type": "chat", "room": ROOM, "message": "late", "client_id": "a-1"})
    assert client.closed == [(4401, "signed_out")]
    assert chat.list_newest_changes()[ROOM] == 0


def hello(room: str = ROOM) -> dict[str, Any]:
    return {"type": "chat", "room": room, "message": "hello", "client_id": "a-1"}


def test_chat_of_a_session_that_ended_elsewhere_stores_nothing_and_closes_with_4401(hub: Hub, client: Any) -> None:
    with db.write() as session:
        session.delete(session.get_one(SignIn, client.signed_in.session_id))
    current_cache().clear()  # as on another host a moment later
    assert error_of(say(hub, client, hello())) == "unauthenticated"
    assert client.closed == [(4401, "signed_out")]
    assert chat.list_newest_changes()[ROOM] == 0


def test_chat_of_a_session_that_ended_is_refused_while_another_member_has_a_new_one_with_its_id(
    at_work: Flask, hub: Hub, client: Any
) -> None:
    with db.write() as session:
        session.delete(session.get_one(SignIn, client.signed_in.session_id))
    eve = sessions.load(sign_in(at_work, add_user(at_work, "eve@church.example")))
    assert eve is not None
    with db.write() as session:
        session.execute(update(SignIn).where(SignIn.id == eve.session_id).values(id=client.signed_in.session_id))
    current_cache().clear()
    assert error_of(say(hub, client, hello())) == "unauthenticated"
    assert chat.list_newest_changes()[ROOM] == 0


def test_chat_of_a_session_that_ended_here_closes_with_4401(hub: Hub, client: Any) -> None:
    with db.write() as session:
        sessions.end(session, client.signed_in.session_ref)
    assert error_of(say(hub, client, hello())) == "unauthenticated"
    assert client.closed == [(4401, "signed_out")]


def test_chat_reads_the_session_in_the_transaction_that_stores(
    hub: Hub, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat.load_open_room(client.signed_in, ROOM)
    current_cache().clear()
    monkeypatch.setattr(db, "_read", lambda: pytest.fail("another transaction was opened"))
    assert say(hub, client, hello())[0]["type"] == "chat"


@pytest.mark.parametrize(("room", "facts"), [("premium", {"premium": True}), ("admins", {"role": "admin"})])
def test_chat_with_access_that_ended_since_the_member_was_looked_up_is_refused(
    hub: Hub, client: Any, room: str, facts: dict[str, Any]
) -> None:
    client.signed_in = replace(client.signed_in, **facts)
    current_cache().clear()
    assert error_of(say(hub, client, hello(room))) == "forbidden"
    assert chat.list_newest_changes()[room] == 0


def test_chat_with_access_that_began_since_the_member_was_looked_up_is_stored(hub: Hub, client: Any, ada: User) -> None:
    with db.write() as session:
        now = utc_now()
        session.add(Grant(user_id=ada.id, reason="press", until=now + timedelta(days=1), created_at=now))
    current_cache().clear()
    assert say(hub, client, hello("premium"))[0]["type"] == "chat"


def test_chat_of_a_member_who_is_no_longer_confirmed_is_refused(hub: Hub, client: Any, ada: User) -> None:
    change_user(ada.id, verified_at=None)
    current_cache().clear()
    assert error_of(say(hub, client, hello())) == "forbidden"


def test_chat_stores_the_last_use_of_its_session(hub: Hub, client: Any) -> None:
    long_ago = utc_now() - timedelta(hours=2)
    with db.write() as session:
        session.get_one(SignIn, client.signed_in.session_id).last_seen_at = long_ago
    current_cache().clear()
    say(hub, client, hello())

    def last_use() -> datetime:
        with db.read() as session:
            return session.get_one(SignIn, client.signed_in.session_id).last_seen_at

    wait_until(lambda: last_use() > long_ago, "the use is stored")


def test_chat_over_the_limit_looks_at_the_session_first(hub: Hub, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    say(hub, client, hello())
    with db.write() as session:
        session.delete(session.get_one(SignIn, client.signed_in.session_id))
    current_cache().clear()
    monkeypatch.setattr(posting_limits, "_limiter", [lambda *_: 30])
    assert error_of(say(hub, client, hello())) == "unauthenticated"  # not the message that it repeats
    assert client.closed == [(4401, "signed_out")]


# -- rooms ----------------------------------------------------------------------------------------------------------


def test_join_shows_who_is_there_and_leave_ends_it(hub: Hub, client: Any) -> None:
    frames = say(hub, client, {"type": "subscribe_room", "room": ROOM})
    assert [frame["type"] for frame in frames] == ["room_joined", "presence"]
    assert [one["name"] for one in frames[1]["members"]] == ["Ada"]
    assert say(hub, client, {"type": "leave_room", "room": ROOM}) == []
    assert hub.rooms.feeds == {}


@pytest.mark.parametrize(("room", "code"), [("premium", "forbidden"), ("admins", "forbidden"), ("x", "unknown_room")])
def test_join_of_a_closed_or_unknown_room_is_refused(hub: Hub, client: Any, room: str, code: str) -> None:
    (frame,) = say(hub, client, {"type": "subscribe_room", "room": room})
    assert (frame["code"], frame.get("room")) == (code, room if code == "forbidden" else None)
    assert (client.rooms, client.is_open) == ((), True)


def test_history_sends_what_was_missed_and_needs_a_number(hub: Hub, client: Any) -> None:
    for text in ("one", "two"):
        chat.post_message(client.signed_in, ROOM, text, None)
    frames = say(hub, client, {"type": "history", "room": ROOM, "after": 1})
    assert [frame.get("message") for frame in frames if frame["type"] == "chat"] == ["two"]
    assert error_of(say(hub, client, {"type": "history", "room": ROOM})) == "invalid"


def test_chat_message_is_sent_once_to_its_author_in_the_room(hub: Hub, client: Any) -> None:
    say(hub, client, {"type": "subscribe_room", "room": ROOM})
    message = {"type": "chat", "room": ROOM, "message": "hello", "client_id": "a-1"}
    say(hub, client, message)
    run_until(client.numbers, "the message")
    assert [frame["client_id"] for frame in client.sent if frame["type"] == "chat"] == ["a-1"]
    (again,) = say(hub, client, message)
    assert (again["type"], again["id"]) == ("chat", 1)
    assert chat.list_newest_changes()[ROOM] == 1


def test_chat_message_to_a_room_that_is_not_joined_is_answered(hub: Hub, client: Any) -> None:
    (frame,) = say(hub, client, {"type": "chat", "room": ROOM, "message": "hello", "client_id": "a-1"})
    assert (frame["type"], frame["message"], frame["client_id"]) == ("chat", "hello", "a-1")


def test_chat_message_that_is_an_attack_is_refused_where_the_site_blocks(at_work: Flask, hub: Hub, client: Any) -> None:
    at_work.config["CHURCH"] = at_work.config["CHURCH"].model_copy(update={"threats": "block"})
    attack = {"type": "chat", "room": ROOM, "message": "<script>alert(1)</script>", "client_id": "a-1"}
    with grows(definitions.security_events.labels("request_blocked", "high")):
        (frame,) = say(hub, client, attack)
    assert (frame["code"], frame["client_id"]) == ("invalid", "a-1")
    assert frame["detail"] == "Your message looks like an attack on a website. It was not sent."
    assert chat.list_newest_changes()[ROOM] == 0


@pytest.mark.parametrize(
    "text", ['She said "select a seat from the left row" and I did', "/* nice */ comment", "select * from users"]
)
def test_chat_message_of_words_or_code_is_sent_where_the_site_blocks(
    at_work: Flask, hub: Hub, client: Any, text: str
) -> None:
    at_work.config["CHURCH"] = at_work.config["CHURCH"].model_copy(update={"threats": "block"})
    (frame,) = say(hub, client, {"type": "chat", "room": ROOM, "message": text, "client_id": "a-1"})
    assert (frame["type"], frame["message"]) == ("chat", text)


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of what the hub remembers about members."""
    one = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(member_limits, "time", SimpleNamespace(monotonic=lambda: one.now))
    return one


def message(kind: str, number: int = 0) -> dict[str, Any]:
    return {"type": kind, "room": ROOM, "message": "hello", "client_id": f"a-{number}", "after": 0}


@pytest.mark.parametrize(("kind", "limit"), [("chat", "chat"), ("history", "history"), ("subscribe_room", "history")])
def test_refused_message_is_answered_from_memory_until_the_limit_is_free(
    hub: Hub, client: Any, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, kind: str, limit: str
) -> None:
    counted: list[str] = []

    def limiter(name: str, _key: str) -> int:
        counted.append(name)
        return 30

    with monkeypatch.context() as refusing:
        refusing.setattr(posting_limits, "_limiter", [limiter])
        (first,) = say(hub, client, message(kind))
        assert (first["code"], first["retry_after"]) == ("rate_limited", 30)
        refusing.setattr(sessions, "load_ref", lambda *_: pytest.fail("the database was read"))
        clock.now += 20.5
        hits, events = definitions.rate_limit_hits.labels(limit), definitions.security_events
        with captured_log() as log, grows(hits), grows(events.labels("rate_limit_exceeded", "low")):
            (again,) = say(hub, client, message(kind, 1))
        assert again == {**first, "client_id": "a-1", "retry_after": 10}
        assert (counted, log.records) == ([limit], [])
    clock.now += 9.5
    assert "error" not in [frame["type"] for frame in say(hub, client, message(kind, 2))]


def test_refusal_holds_for_all_connections_of_its_member_and_no_others(
    at_work: Flask, hub: Hub, client: Any, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve = signed_in_client(at_work, hub, add_user(at_work, "eve@church.example", password_hash="x"))
    other = signed_in_client(at_work, hub, ada)
    with monkeypatch.context() as refusing:
        refusing.setattr(posting_limits, "_limiter", [lambda *_: 30])
        say(hub, client, message("chat"))
    assert error_of(say(hub, other, message("chat"))) == "rate_limited"
    assert say(hub, eve, message("chat"))[0]["type"] == "chat"
    assert "room_joined" in [frame["type"] for frame in say(hub, other, message("history"))]  # another limit


def test_message_that_is_refused_costs_its_sender_more_than_one_that_is_not(hub: Hub, client: Any) -> None:
    say(hub, client, {"type": "ping"}, message("subscribe_room"), message("chat"))
    assert client.spent == 0
    say(hub, client, "no JSON", {"type": "dance"}, {"type": "chat", "room": ROOM})
    assert client.spent == 12
    stranger = StubClient(None)
    say(hub, stranger, message("chat"))
    assert stranger.spent == 4


def test_hub_takes_frames_of_all_connections_from_one_budget_of_their_member(
    at_work: Flask, hub: Hub, client: Any, ada: User, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_budget, "time", SimpleNamespace(monotonic=lambda: clock.now))
    tabs = [client, *(signed_in_client(at_work, hub, ada) for _ in range(3))]
    sent = [hub.spend(tabs[number % 4], 1.0) for number in range(402)]
    assert sent == [True] * 400 + [False] * 2
    assert hub.spend(StubClient(None), 1.0)  # type: ignore[arg-type]  # not signed in: its own budget is enough
    clock.now += 1
    assert [hub.spend(client, 1.0) for _ in range(81)] == [True] * 80 + [False]


@pytest.mark.parametrize("kind", ["presence", "typing"])
def test_presence_and_typing_need_the_room_joined(hub: Hub, client: Any, kind: str) -> None:
    assert error_of(say(hub, client, {"type": kind, "room": ROOM})) == "invalid"
    say(hub, client, {"type": "subscribe_room", "room": ROOM})
    assert "error" not in [frame["type"] for frame in say(hub, client, {"type": kind, "room": ROOM})]


def test_typing_is_shown_to_others_but_not_twice_at_once_and_not_of_a_muted_member(
    at_work: Flask, hub: Hub, client: Any, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve = signed_in_client(at_work, hub, add_user(at_work, "eve@church.example", name="Eve", password_hash="x"))
    for one in (client, eve):
        say(hub, one, {"type": "subscribe_room", "room": ROOM})
    typing = {"type": "typing", "room": ROOM}
    monkeypatch.setattr(message_handlers, "_TYPING_SECONDS", 1e9)
    client.typed_at = -1e9
    say(hub, client, typing, typing)
    run_until(lambda: "typing" in eve.kinds(), "the typing")
    assert (eve.kinds().count("typing"), "typing" in client.kinds()) == (1, False)
    chat.mute_member(ada.ref, ROOM, None, "loud", Actor(via="cli"))
    client.typed_at = -1e9
    say(hub, client, typing)
    gevent.sleep(0)  # lets a typing frame go out, if there is one
    assert eve.kinds().count("typing") == 1


def test_join_takes_the_members_new_name(hub: Hub, client: Any, ada: User) -> None:
    change_user(ada.id, name="Ada Lovelace")
    frames = say(hub, client, {"type": "subscribe_room", "room": ROOM})
    assert [one["name"] for one in frames[-1]["members"]] == ["Ada Lovelace"]
