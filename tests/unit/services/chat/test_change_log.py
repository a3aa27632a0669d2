"""Changes of a room: numbered, locked, and published."""

from __future__ import annotations

import json

import pytest
from flask import Flask

from church.errors import UnauthorizedError
from church.extensions import db
from church.models import User
from church.models.base import utc_now
from church.services import chat, live_broadcast
from church.services.chat import change_log, errors
from church.services.sessions import SignedIn
from tests.support.accounts_fixture import change_user
from tests.support.chat_fixture import ROOM, acting, published, speaker


def test_failing_listener_is_harmless_and_a_removed_one_is_not_called(ada: SignedIn) -> None:
    def fail(_channel: str, _line: str) -> None:
        raise RuntimeError

    end = live_broadcast.add_listener(fail)
    with published() as heard:
        chat.post_message(ada, ROOM, "one", None)
    end()
    chat.post_message(ada, ROOM, "two", None)
    assert [json.loads(line)["text"] for _, line in heard] == ["one"]


def room_id(ada: SignedIn) -> int:
    return chat.load_open_room(ada, ROOM).id


def test_next_number_is_given_once_and_not_lost_by_a_rollback(ada: SignedIn) -> None:
    def fail() -> None:
        with db.write() as session:
            assert change_log.take_next_number(session, room_id(ada)).last_number == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with db.write() as session:
        numbers = [change_log.take_next_number(session, room_id(ada)).last_number for _ in range(2)]
    assert numbers == [1, 2]
    assert chat.list_newest_changes()[ROOM] == 2


@pytest.mark.parametrize("column", ["disabled_at", "deleted_at"])
def test_lock_account_inactive_is_unauthorized(ada: SignedIn, column: str) -> None:
    with db.write() as session:
        assert change_log.lock_account(session, ada.user_id).ref == ada.ref
    change_user(ada.user_id, email=None, **{column: utc_now()})
    with db.write() as session, pytest.raises(UnauthorizedError):
        change_log.lock_account(session, ada.user_id)


def test_lock_author_and_room_muted_takes_no_number(ada: SignedIn, boss: SignedIn) -> None:
    room = room_id(ada)
    chat.mute_member(ada.ref, ROOM, None, "loud", acting(boss))
    with pytest.raises(errors.MutedError), db.write() as session:
        change_log.lock_author_and_room(session, ada.user_id, room)
    assert chat.list_newest_changes()[ROOM] == 0


def test_erase_message_removes_its_text_once(ada: SignedIn, boss: SignedIn) -> None:
    chat.post_message(ada, ROOM, "rude", None)
    with db.write() as session:
        change = change_log.erase_message(session, room_id(ada), 1, boss.user_id)
    view = change.view()
    assert (view.id, view.changed, view.text, view.deleted, view.from_ref) == (1, 2, "", True, ada.ref)
    assert change.message.deleted_by == boss.user_id
    with db.write() as session, pytest.raises(errors.UnknownMessageError):
        change_log.erase_message(session, room_id(ada), 1, boss.user_id)


def test_erase_messages_of_gives_each_message_a_number_and_keeps_others(at_work: Flask, ada: SignedIn) -> None:
    bea = speaker(at_work, "Bea", premium=True)
    for author, room in ((bea, ROOM), (ada, ROOM), (bea, ROOM), (bea, "premium")):
        chat.post_message(author, room, "text", None)
    with db.write() as session:
        changes = change_log.erase_messages_of(session, session.get_one(User, bea.user_id))
        assert [(one.room, one.message.number, one.message.changed) for one in changes] == [
            (ROOM, 3, 5),
            ("premium", 1, 2),
        ]
    assert chat.list_newest_changes() == {ROOM: 5, "premium": 2, "admins": 0}
    assert [(view.id, view.deleted) for view in chat.list_changes(room_id(ada), 0)] == [
        (2, False),
        (1, True),
        (3, True),
    ]
    with db.write() as session:
        assert change_log.erase_messages_of(session, session.get_one(User, bea.user_id)) == []
