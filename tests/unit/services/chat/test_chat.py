"""Chat rooms: access, sending and editing, reading pages and missed changes, limits."""

from __future__ import annotations

import json

import pytest
from flask import Flask

from church.errors import UnauthorizedError
from church.models.base import utc_now
from church.services import chat, live_broadcast
from church.services.chat import errors, history, posting_limits
from church.services.sessions import SignedIn
from tests.support.accounts_fixture import change_user
from tests.support.chat_fixture import ROOM, published, speaker
from tests.support.people import DEVICE


@pytest.fixture
def ada(at_work: Flask) -> SignedIn:
    return speaker(at_work)


def texts(views: list[chat.MessageView]) -> list[str]:
    return [view.text for view in views]


def test_rooms_are_open_by_their_access_level(at_work: Flask, ada: SignedIn) -> None:
    gold = speaker(at_work, "Gold", premium=True)
    boss = speaker(at_work, "Boss", role="admin")
    stranger = SignedIn(ada.user_id, ada.ref, "Ada", "", "admin", False, 0, "", premium=True)
    found = {one.name: [room.name for room in chat.list_rooms(one)] for one in (ada, gold, boss)}
    assert found == {"Ada": ["public"], "Gold": ["public", "premium"], "Boss": ["public", "admins"]}
    assert chat.list_rooms(stranger) == []
    for one, room in ((ada, "premium"), (ada, "admins"), (boss, "premium"), (stranger, "public")):
        with pytest.raises(errors.ClosedRoomError):
            chat.load_open_room(one, room)
        with pytest.raises(errors.ClosedRoomError):
            chat.post_message(one, room, "hello", None)
        with pytest.raises(errors.ClosedRoomError):
            chat.load_page(one, room)
    with pytest.raises(chat.UnknownRoomError):
        chat.load_open_room(ada, "Public\0")


def test_message_is_published_after_the_commit_as_stored(ada: SignedIn) -> None:
    with published() as heard:
        view = chat.post_message(ada, ROOM, "  **Hi**\r\nyou\x07 ", "a-1")
    assert (view.room, view.id, view.changed, view.from_ref, view.from_name) == (ROOM, 1, 1, ada.ref, "Ada")
    assert (view.text, view.html, view.client_id) == ("**Hi**\nyou", "<strong>Hi</strong><br>\nyou", "a-1")
    assert (view.is_admin, view.deleted, view.edited_at) == (False, False, None)
    ((channel, line),) = heard
    assert (channel, chat.decode_message(line)) == ("chat:public", view)
    assert history.list_messages(chat.load_open_room(ada, ROOM).id) == [view]


@pytest.mark.parametrize("text", ["", " \n\t ", "\x01", "x" * 4001, "a\0b", "\ud800"])
def test_invalid_text_is_refused(ada: SignedIn, text: str) -> None:
    with pytest.raises(errors.TextError) as caught:
        chat.post_message(ada, ROOM, text, None)
    assert set(caught.value.errors) == {"message"}
    assert chat.list_newest_changes()[ROOM] == 0


def test_repeated_client_id_returns_the_first_message(ada: SignedIn, at_work: Flask) -> None:
    first = chat.post_message(ada, ROOM, "one", "same")
    with published() as heard:
        assert chat.post_message(ada, ROOM, "other words", "same") == first
    assert heard == []
    assert chat.post_message(speaker(at_work, "Bea"), ROOM, "hers", "same").id == 2
    assert chat.post_message(ada, ROOM, "without", None).id == 3
    chat.delete_message(ada, ROOM, first.id, DEVICE)
    assert chat.post_message(ada, ROOM, "one", "same").deleted  # a late retry does not restore the text
    for bad in ("", "a b", "x" * 65, "é"):
        with pytest.raises(errors.TextError):
            chat.post_message(ada, ROOM, "one", bad)


def test_text_is_inspected_after_the_rate_limit_and_before_it_is_stored(at_work: Flask, ada: SignedIn) -> None:
    at_work.config["CHURCH"] = at_work.config["CHURCH"].model_copy(update={"limit_chat": "2/hour"})

    def refuse(text: str) -> None:
        seen.append(text)
        raise PermissionError

    seen: list[str] = []
    for expected in (PermissionError, PermissionError, chat.RateLimitedError):
        with pytest.raises(expected):
            chat.post_message(ada, ROOM, " an attack ", None, refuse)
    assert seen == ["an attack"] * 2
    assert chat.list_newest_changes()[ROOM] == 0


def test_edit_is_a_change_that_only_the_author_may_make(ada: SignedIn, at_work: Flask) -> None:
    boss = speaker(at_work, "Boss", role="admin")
    first = chat.post_message(ada, ROOM, "frist", None)
    chat.post_message(ada, ROOM, "second", None)
    with published() as heard:
        view = chat.edit_message(ada, ROOM, first.id, "first")
        assert chat.edit_message(ada, ROOM, first.id, " first ") == view  # the same text: nothing is published
    assert len(heard) == 1
    assert (view.id, view.changed, view.text) == (1, 3, "first")
    assert view.edited_at is not None
    with pytest.raises(errors.NotYoursError):
        chat.edit_message(boss, ROOM, first.id, "mine")
    for number in (99, -1, 2**70):
        with pytest.raises(errors.UnknownMessageError):
            chat.edit_message(ada, ROOM, number, "text")


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


def test_rate_limit_stops_new_messages_and_edits_but_not_retries(at_work: Flask, ada: SignedIn) -> None:
    at_work.config["CHURCH"] = at_work.config["CHURCH"].model_copy(update={"limit_chat": "2/hour"})
    first = chat.post_message(ada, ROOM, "one", "1")
    chat.post_message(ada, ROOM, "two", "2")
    with pytest.raises(chat.RateLimitedError) as caught:
        chat.edit_message(ada, ROOM, first.id, "changed")
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 3600
    assert chat.post_message(ada, ROOM, "one", "1") == first
    assert chat.delete_message(ada, ROOM, first.id, DEVICE).deleted
    assert chat.post_message(speaker(at_work, "Bea"), ROOM, "hers", None).text == "hers"


def test_disabled_account_cannot_post(ada: SignedIn) -> None:
    change_user(ada.user_id, disabled_at=utc_now())
    with pytest.raises(UnauthorizedError):
        chat.post_message(ada, ROOM, "still here", None)
    assert chat.list_newest_changes()[ROOM] == 0


def test_failing_listener_is_harmless_and_a_removed_one_is_not_called(ada: SignedIn) -> None:
    def fail(_channel: str, _line: str) -> None:
        raise RuntimeError

    end = live_broadcast.add_listener(fail)
    with published() as heard:
        chat.post_message(ada, ROOM, "one", None)
    end()
    chat.post_message(ada, ROOM, "two", None)
    assert [json.loads(line)["text"] for _, line in heard] == ["one"]


def test_admin_is_marked_and_nameless_member_is_not_shown_by_email(at_work: Flask) -> None:
    boss = speaker(at_work, "Boss", role="admin")
    assert chat.post_message(boss, ROOM, "hello", None).is_admin
    change_user(boss.user_id, name="", role="member")
    (view,) = history.list_messages(chat.load_open_room(boss, ROOM).id)
    assert (view.from_name, view.is_admin) == (f"Member {boss.ref[:4]}", False)


def test_post_without_a_limiter_is_refused(ada: SignedIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting_limits, "_limiter", [])
    with pytest.raises(RuntimeError, match="set_limiter"):
        chat.post_message(ada, ROOM, "hello", None)
    assert chat.list_newest_changes()[ROOM] == 0
