"""Sending and editing messages: checked, stored once, and published."""

from __future__ import annotations

import pytest
from flask import Flask

from church.errors import UnauthorizedError
from church.models.base import utc_now
from church.services import chat
from church.services.chat import errors, history
from church.services.sessions import SignedIn
from tests.support.accounts_fixture import change_user
from tests.support.chat_fixture import ROOM, published, speaker
from tests.support.people import DEVICE


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
            chat.store_message(ada, ROOM, " an attack ", None, refuse)
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


def test_disabled_account_cannot_post(ada: SignedIn) -> None:
    change_user(ada.user_id, disabled_at=utc_now())
    with pytest.raises(UnauthorizedError):
        chat.post_message(ada, ROOM, "still here", None)
    assert chat.list_newest_changes()[ROOM] == 0
