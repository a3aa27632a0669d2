"""Chat rooms: who may enter which."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

from church.extensions import db
from church.models.base import utc_now
from church.services import chat
from church.services.chat import errors, rooms
from church.services.sessions import SignedIn
from tests.support.chat_fixture import ROOM, acting, speaker


def test_rooms_are_open_by_their_access_level(at_work: Flask, ada: SignedIn) -> None:
    gold = speaker(at_work, "Gold", premium=True)
    boss = speaker(at_work, "Boss", role="admin")
    stranger = SignedIn(ada.user_id, ada.ref, "Ada", "", "admin", False, 0, "", premium=True)
    found = {one.name: [room.name for room in chat.list_rooms(one)] for one in (ada, gold, boss)}
    assert found == {"Ada": ["public"], "Gold": ["public", "premium"], "Boss": ["public", "premium", "admins"]}
    assert chat.list_rooms(stranger) == []
    for one, room in ((ada, "premium"), (ada, "admins"), (gold, "admins"), (stranger, "public"), (stranger, "admins")):
        with pytest.raises(errors.ClosedRoomError):
            chat.load_open_room(one, room)
        with pytest.raises(errors.ClosedRoomError):
            chat.post_message(one, room, "hello", None)
        with pytest.raises(errors.ClosedRoomError):
            chat.load_page(one, room)
    with pytest.raises(chat.UnknownRoomError):
        chat.load_open_room(ada, "Public\0")


def test_room_with_an_unknown_access_is_closed_to_everyone() -> None:
    boss = SignedIn(1, "b" * 16, "Boss", "", "admin", True, 0, "", premium=True)
    assert not rooms.is_room_open("everyone", boss)
    assert not rooms.is_room_open("", boss)


def test_mute_that_lasts_longest_counts(ada: SignedIn, boss: SignedIn) -> None:
    soon, later = utc_now() + timedelta(hours=1), utc_now() + timedelta(days=1)
    for room, until in ((ROOM, later), (None, soon)):
        chat.mute_member(ada.ref, room, until, "loud", acting(boss))
    assert chat.load_open_room(ada, ROOM).muted_until == later
    without_end = chat.mute_member(ada.ref, None, None, "loud", acting(boss))
    view = chat.load_open_room(ada, ROOM)
    assert (view.muted, view.muted_until) == (True, None)
    with pytest.raises(errors.MutedError, match=r"muted you here\.$"):
        rooms.check_not_muted(view)
    chat.lift_sanction(without_end, acting(boss))
    assert chat.load_open_room(ada, ROOM).muted_until == later


def test_banned_rooms_of_members_without_a_ban_are_left_out(ada: SignedIn, boss: SignedIn) -> None:
    assert rooms.list_banned_rooms([]) == {}
    chat.mute_member(ada.ref, None, None, "loud", acting(boss))
    assert rooms.list_banned_rooms([ada.user_id, boss.user_id]) == {}
    chat.ban_member(ada.ref, ROOM, None, "loud", acting(boss))
    assert rooms.list_banned_rooms([ada.user_id, boss.user_id]) == {ada.user_id: {ROOM}}


def test_find_room_unknown_name_raises(at_work: Flask) -> None:
    with db.read() as session:
        assert rooms.find_room(session, ROOM).name == ROOM
        for name in ("", "Public", "public ", "%"):
            with pytest.raises(errors.UnknownRoomError):
                rooms.find_room(session, name)
