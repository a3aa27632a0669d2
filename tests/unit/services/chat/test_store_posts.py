"""Storing messages: few statements, one transaction for all, an own result or error for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Connection, event, update

from church.database import DatabaseDownError
from church.errors import UnauthorizedError
from church.extensions import db
from church.models import ChatRoom
from church.models.base import utc_now
from church.services import chat
from church.services.chat import errors, history, store_posts
from church.services.chat.store_posts import Post, Stored
from church.services.sessions import SignedIn
from tests.support.accounts_fixture import change_user
from tests.support.chat_fixture import ROOM, acting, published, speaker
from tests.support.people import DEVICE


@contextmanager
def statements(app: Flask) -> Iterator[list[str]]:
    """List the statements that are sent to the database, without BEGIN."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(("BEGIN", "SELECT 1 ")):
            sent.append(statement.split(None, 1)[0])

    engines = app.extensions["database"]().open().distinct
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield sent
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)


def post(member: SignedIn, text: str, client_id: str | None = None, room: str = ROOM) -> Post:
    return Post(member, room, text, client_id)


def store(posts: Sequence[Post]) -> list[Any]:
    """Store the posts; the number of each, or its error's type."""
    results = store_posts.store_posts(posts)
    return [one.view.id if isinstance(one, Stored) else type(one) for one in results]


@pytest.fixture
def bea(at_work: Flask) -> SignedIn:
    """Another member."""
    return speaker(at_work, "Bea", premium=True)


def test_message_costs_three_statements(at_work: Flask, ada: SignedIn) -> None:
    chat.post_message(ada, ROOM, "the first, which reads the rooms", None)
    with statements(at_work) as sent:
        chat.post_message(ada, ROOM, "hello", "a-1")
    assert sent == ["SELECT", "UPDATE", "INSERT"]


def test_batch_costs_three_statements_and_one_more_for_each_further_room(
    at_work: Flask, ada: SignedIn, bea: SignedIn
) -> None:
    chat.post_message(ada, ROOM, "the first, which reads the rooms", None)
    posts = [post((ada, bea)[number % 2], f"{number}", f"c-{number}") for number in range(20)]
    with statements(at_work) as sent:
        assert store([*posts, post(bea, "here, too", room="premium")]) == [*range(2, 22), 1]
    assert sent == ["SELECT", "UPDATE", "UPDATE", "INSERT"]
    with db.read() as session:
        room = session.query(ChatRoom).filter_by(name=ROOM).one()
    assert [view.text for view in history.list_messages(room.id)][1:] == [f"{number}" for number in range(20)]


def test_refused_messages_of_a_batch_take_no_number_and_leave_the_others_alone(
    at_work: Flask, ada: SignedIn, bea: SignedIn, boss: SignedIn
) -> None:
    muted, banned, gone = (speaker(at_work, name) for name in ("Mute", "Ban", "Gone"))
    chat.mute_member(muted.ref, ROOM, None, "loud", acting(boss))
    chat.ban_member(banned.ref, None, None, "rude", acting(boss))
    change_user(gone.user_id, disabled_at=utc_now())
    posts = [
        *(post(ada, "1"), post(muted, "no"), post(banned, "no"), post(gone, "no")),
        *(post(ada, "no", room="premium"), post(ada, "no", room="nowhere"), post(bea, "2"), post(muted, "no", "m-1")),
    ]
    assert store(posts) == [
        *(1, errors.MutedError, errors.BannedError, UnauthorizedError),
        *(errors.ClosedRoomError, errors.UnknownRoomError, 2, errors.MutedError),
    ]
    assert chat.list_newest_changes() == {ROOM: 2, "premium": 0, "admins": 0}


def test_client_id_twice_in_a_batch_and_from_before_is_one_message(ada: SignedIn, bea: SignedIn) -> None:
    first = chat.post_message(ada, ROOM, "one", "a-1")
    posts = [post(ada, "two", "a-2"), post(bea, "hers", "a-2"), post(ada, "again", "a-1"), post(ada, "again", "a-2")]
    results = store_posts.store_posts(posts)
    assert [(one.view.id, one.view.text, one.is_new) for one in results if isinstance(one, Stored)] == [
        (2, "two", True),
        (3, "hers", True),
        (1, "one", False),
        (2, "two", False),
    ]
    assert first == results[2].view  # type: ignore[union-attr]
    assert chat.list_newest_changes()[ROOM] == 3


def test_repeated_message_is_neither_published_nor_counted(at_work: Flask, ada: SignedIn) -> None:
    at_work.config["CHURCH"] = at_work.config["CHURCH"].model_copy(update={"limit_chat": "2/hour"})
    first = chat.post_message(ada, ROOM, "one", "same")
    with published() as heard:
        assert [chat.post_message(ada, ROOM, "one", "same") for _ in range(4)] == [first] * 4
    assert heard == []
    chat.post_message(ada, ROOM, "two", None)
    assert chat.post_message(ada, ROOM, "one", "same") == first  # also over the limit
    with pytest.raises(chat.RateLimitedError):
        chat.post_message(ada, ROOM, "three", "new")


def test_muted_member_gets_an_earlier_message_again_and_cannot_send_another(ada: SignedIn, boss: SignedIn) -> None:
    first = chat.post_message(ada, ROOM, "one", "same")
    chat.mute_member(ada.ref, ROOM, None, "loud", acting(boss))
    assert chat.post_message(ada, ROOM, "one", "same") == first
    with pytest.raises(errors.MutedError):
        chat.post_message(ada, ROOM, "two", "other")


def test_ban_is_in_force_for_a_message_that_waits(
    ada: SignedIn, boss: SignedIn, bea: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was accepted before the ban, and its transaction begins after it."""
    together = store_posts._store_together

    def ban_first(posts: Sequence[Post]) -> Any:
        monkeypatch.undo()
        chat.ban_member(ada.ref, ROOM, None, "rude", acting(boss))
        return together(posts)

    monkeypatch.setattr(store_posts, "_store_together", ban_first)
    assert store([post(ada, "too late"), post(bea, "hers")]) == [errors.BannedError, 1]


@pytest.mark.parametrize("change", [{"access": "admins"}, {"name": "elsewhere"}])
def test_room_that_was_changed_is_noticed_with_the_next_message(ada: SignedIn, change: dict[str, str]) -> None:
    chat.post_message(ada, ROOM, "one", None)
    with db.write() as session:
        session.execute(update(ChatRoom).where(ChatRoom.name == ROOM).values(**change))
    expected = errors.ClosedRoomError if "access" in change else errors.UnknownRoomError
    with pytest.raises(expected):
        chat.post_message(ada, ROOM, "two", None)
    assert set(chat.list_newest_changes().values()) == {0, 1}


def test_room_that_was_opened_is_noticed_with_the_next_message(ada: SignedIn) -> None:
    with pytest.raises(errors.ClosedRoomError):
        chat.post_message(ada, "premium", "one", None)
    with db.write() as session:
        session.execute(update(ChatRoom).where(ChatRoom.name == "premium").values(access="members"))
    assert chat.post_message(ada, "premium", "two", None).id == 1


def test_message_that_the_database_refuses_fails_alone(
    ada: SignedIn, bea: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = store_posts._insert

    def failing(connection: Connection, new: Sequence[Any]) -> None:
        insert(connection, new)
        if any(one.post.text == "bad" for one in new):
            raise ArithmeticError

    monkeypatch.setattr(store_posts, "_insert", failing)
    assert store([post(ada, "1"), post(bea, "bad"), post(ada, "2")]) == [1, ArithmeticError, 2]
    assert chat.list_newest_changes()[ROOM] == 2


def test_outage_fails_all_of_a_batch_after_one_attempt(
    ada: SignedIn, bea: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[int] = []

    def fail(posts: Sequence[Post], **_: bool) -> None:
        attempts.append(len(posts))
        raise DatabaseDownError

    monkeypatch.setattr(store_posts, "_try_to_store", fail)
    assert store([post(ada, "1"), post(bea, "2")]) == [DatabaseDownError] * 2
    assert attempts == [2]


def test_lock_that_is_held_for_long_is_not_waited_for_again_by_each(
    ada: SignedIn, bea: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[int] = []

    def fail(posts: Sequence[Post], **_: bool) -> None:
        attempts.append(len(posts))
        raise LookupError

    monkeypatch.setattr(store_posts, "_try_to_store", fail)
    monkeypatch.setattr(store_posts, "WRITE_WAIT", 0.0)
    assert store([post(ada, "1"), post(bea, "2")]) == [LookupError] * 2
    assert attempts == [2]


def test_deleted_message_sent_again_is_not_restored(ada: SignedIn) -> None:
    first = chat.post_message(ada, ROOM, "one", "same")
    chat.delete_message(ada, ROOM, first.id, DEVICE)
    (again,) = store_posts.store_posts([post(ada, "one", "same")])
    assert isinstance(again, Stored)
    assert (again.view.deleted, again.is_new) == (True, False)
