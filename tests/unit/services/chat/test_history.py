"""Reading a room: pages, and changes since a cursor."""

from __future__ import annotations

import pytest
from flask import Flask

from church.extensions import db
from church.services import chat
from church.services.chat import errors, history
from church.services.sessions import SignedIn
from tests.support.chat_fixture import ROOM
from tests.support.people import DEVICE


def texts(views: list[chat.MessageView]) -> list[str]:
    return [view.text for view in views]


def test_since_lists_each_changed_message_once_in_its_current_state(ada: SignedIn) -> None:
    for text in ("a", "b", "c", "d"):
        chat.post_message(ada, ROOM, text, None)
    room = chat.load_open_room(ada, ROOM)
    chat.edit_message(ada, ROOM, 1, "A")
    chat.edit_message(ada, ROOM, 1, "AA")
    chat.delete_message(ada, ROOM, 2, DEVICE)
    missed = chat.list_changes(room.id, room.head)
    assert [(view.id, view.changed, view.text, view.deleted) for view in missed] == [
        (1, 6, "AA", False),
        (2, 7, "", True),
    ]
    assert missed[-1].changed == chat.list_newest_changes()[ROOM]
    assert chat.list_changes(room.id, 7) == chat.list_changes(room.id, 2**70) == []
    walked, cursor = [], 0
    while found := chat.list_changes(room.id, cursor, 2):
        walked += found
        cursor = found[-1].changed
    assert [view.id for view in walked] == [3, 4, 1, 2]


def test_page_leaves_out_deleted_messages_and_since_continues_from_its_cursor(ada: SignedIn) -> None:
    for text in ("a", "b", "c", "d"):
        chat.post_message(ada, ROOM, text, None)
    chat.delete_message(ada, ROOM, 3, DEVICE)
    newest = chat.load_page(ada, ROOM, limit=2)
    assert (texts(newest.messages), newest.cursor, newest.has_older) == (["b", "d"], 5, True)
    older = chat.load_page(ada, ROOM, newest.messages[0].id, limit=2)
    assert (texts(older.messages), older.has_older) == (["a"], False)
    chat.post_message(ada, ROOM, "e", None)
    assert texts(chat.list_changes(newest.room.id, newest.cursor)) == ["e"]


def test_load_message_deleted_or_unknown_raises(ada: SignedIn) -> None:
    chat.post_message(ada, ROOM, "one", None)
    assert chat.load_message(ada, ROOM, 1).text == "one"
    chat.delete_message(ada, ROOM, 1, DEVICE)
    for number in (1, 2, -1, 2**70):
        with pytest.raises(errors.UnknownMessageError):
            chat.load_message(ada, ROOM, number)


def test_list_messages_limit_is_at_least_one(ada: SignedIn) -> None:
    for text in ("a", "b", "c"):
        chat.post_message(ada, ROOM, text, None)
    room_id = chat.load_open_room(ada, ROOM).id
    assert texts(history.list_messages(room_id, limit=0)) == ["c"]
    assert texts(history.list_messages(room_id, number=3, limit=10**9)) == ["a", "b"]


def test_find_by_client_id_is_the_members_own_even_if_deleted(at_work: Flask, ada: SignedIn, boss: SignedIn) -> None:
    chat.post_message(ada, ROOM, "one", "a-1")
    chat.delete_message(ada, ROOM, 1, DEVICE)
    room_id = chat.load_open_room(ada, ROOM).id
    with db.read() as session:
        found = history.find_by_client_id(session, room_id, ada.user_id, "a-1")
        others = [
            history.find_by_client_id(session, room_id, user_id, client_id)
            for user_id, client_id in ((boss.user_id, "a-1"), (ada.user_id, "a-2"), (ada.user_id, None))
        ]
    assert found is not None
    assert (found.id, found.deleted) == (1, True)
    assert others == [None] * 3
