"""The rooms that clients of a worker have joined, and the check for changes that the worker has missed."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from flask import Flask

from church.live import joined_rooms
from church.live.hub import hub_of
from church.live.joined_rooms import JoinedRooms
from church.services import chat
from church.services.chat import RoomView
from tests.support.chat_fixture import ROOM, speaker
from tests.support.live_stubs import StubClient, person, run_until, said

PUBLIC = RoomView(1, ROOM, "Public", "members", head=0)


@pytest.fixture
def rooms(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> JoinedRooms:
    """Rooms without clients, whose check is always due."""
    monkeypatch.setattr(joined_rooms, "_CHECK_SECONDS", 0.0)
    monkeypatch.setattr(joined_rooms, "_CHECK_SECONDS_DOWN", 1e9)
    return JoinedRooms(lambda _ref: (), hub_of(at_work).guarded, lambda: True)


def join(rooms: JoinedRooms, client: Any, room: RoomView = PUBLIC, after: int | None = None) -> None:
    rooms.join(client, room, after)


def test_join_tells_the_client_and_leave_removes_the_empty_room(rooms: JoinedRooms) -> None:
    ada: Any = StubClient()
    eve: Any = StubClient(person("eve"))
    for client in (ada, ada, eve):
        join(rooms, client)
    assert (ada.kinds(), ada.rooms) == (["room_joined"] * 2, (ROOM,))
    assert rooms.feeds[ROOM].members == {ada, eve}
    rooms.leave(ada, ROOM)
    assert (ada.rooms, rooms.feeds[ROOM].members) == ((), {eve})
    rooms.leave(ada, ROOM)
    rooms.leave(ada, "cellar")
    rooms.leave_all(eve)
    assert rooms.feeds == {}


def test_join_of_a_client_that_closed_meanwhile_leaves_no_room(rooms: JoinedRooms) -> None:
    gone: Any = StubClient(is_open=False)
    join(rooms, gone)
    assert (gone.sent, gone.rooms, rooms.feeds) == ([], (), {})


def test_leave_all_leaves_every_room(rooms: JoinedRooms) -> None:
    ada: Any = StubClient()
    stays: Any = StubClient(person("eve"))
    join(rooms, ada)
    join(rooms, ada, RoomView(2, "premium", "Premium", "premium", head=0))
    join(rooms, stays)
    rooms.leave_all(ada)
    assert (ada.rooms, set(rooms.feeds)) == ((), {ROOM})


def test_change_reaches_only_its_room(rooms: JoinedRooms) -> None:
    ada: Any = StubClient()
    join(rooms, ada)
    rooms.hear(said(1, room="premium"))
    rooms.hear(said(1))
    run_until(ada.numbers, "the change")
    assert [frame["room"] for frame in ada.sent if frame["type"] == "chat"] == [ROOM]


def test_typing_is_shown_to_the_others_and_not_in_a_crowd(
    at_work: Flask, rooms: JoinedRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada: Any = StubClient()
    eve: Any = StubClient(person("eve"))
    monkeypatch.setattr(rooms, "_connections_of", lambda ref: {"ada": {ada}, "eve": {eve}}[ref])
    for client in (ada, eve):
        join(rooms, client)
    rooms.show_typing(ROOM, {"ref": "ada", "name": "Ada"})
    rooms.show_typing("cellar", {"ref": "ada", "name": "Ada"})
    run_until(lambda: "typing" in eve.kinds(), "the typing")
    assert "typing" not in ada.kinds()
    monkeypatch.setattr(joined_rooms, "_CROWD", 1)
    rooms.show_typing(ROOM, {"ref": "ada", "name": "Ada"})
    gevent.sleep(0)
    assert eve.kinds().count("typing") == 1


def test_look_sends_a_change_that_the_worker_has_missed(at_work: Flask, rooms: JoinedRooms) -> None:
    ada: Any = StubClient()
    join(rooms, ada)
    chat.post_message(speaker(at_work, "Eve"), ROOM, "unheard", None)
    rooms.look()
    run_until(ada.numbers, "the missed change")
    assert ada.numbers() == [1]


def test_look_reads_nothing_without_rooms_or_before_it_is_time(
    rooms: JoinedRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    monkeypatch.setattr(chat, "list_newest_changes", lambda: read.append(1) or {ROOM: 0})
    rooms.look()
    assert read == []
    join(rooms, StubClient())
    rooms.look()
    rooms.look()
    assert read == [1, 1]
    monkeypatch.setattr(rooms, "_is_heard", lambda: False)
    rooms.look()
    assert read == [1, 1]


def test_look_all_reads_every_room_though_no_counter_is_known(at_work: Flask, rooms: JoinedRooms) -> None:
    ada: Any = StubClient()
    join(rooms, ada)
    chat.post_message(speaker(at_work, "Eve"), ROOM, "unheard", None)
    rooms.look_all()
    run_until(ada.numbers, "the missed change")


def test_join_ahead_of_the_room_gives_everyone_the_missed_changes(at_work: Flask, rooms: JoinedRooms) -> None:
    here: Any = StubClient()
    join(rooms, here)
    eve = speaker(at_work, "Eve")
    chat.post_message(eve, ROOM, "unheard", None)
    come: Any = StubClient(person("eve"))
    join(rooms, come, chat.load_open_room(eve, ROOM))
    run_until(here.numbers, "the missed change")
    assert come.sent[-1]["changed"] == 1
