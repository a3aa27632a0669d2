"""Views of messages: the name that others see, and the JSON form between workers."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from flask import Flask

from church.services import chat
from church.services.chat import history, presenters
from church.services.chat.presenters import MessageView
from tests.support.accounts_fixture import change_user
from tests.support.chat_fixture import ROOM, speaker


def test_admin_is_marked_and_nameless_member_is_not_shown_by_email(at_work: Flask) -> None:
    boss = speaker(at_work, "Boss", role="admin")
    assert chat.post_message(boss, ROOM, "hello", None).is_admin
    change_user(boss.user_id, name="", role="member")
    (view,) = history.list_messages(chat.load_open_room(boss, ROOM).id)
    assert (view.from_name, view.is_admin) == (f"Member {boss.ref[:4]}", False)


def message(**changes: object) -> MessageView:
    facts: dict[str, object] = {
        "room": "public",
        "id": 1,
        "changed": 2,
        "from_ref": "0123456789abcdef",
        "from_name": "Zoë",
        "is_admin": False,
        "text": "one\ntwo \u2028 💙",
        "html": "one<br>",
        "client_id": None,
        "at": datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    }
    return MessageView(**{**facts, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "view", [message(), message(edited_at=datetime(2026, 5, 3, tzinfo=UTC), client_id="a-1"), message(deleted=True)]
)
def test_encoded_message_is_one_line_and_decodes_to_the_same(view: MessageView) -> None:
    line = presenters.encode_message(view)
    assert "\n" not in line
    assert presenters.decode_message(line) == view


@pytest.mark.parametrize("change", [{"at": "yesterday"}, {"at": 5}, {"more": 1}])
def test_decode_of_another_form_raises(change: dict[str, object]) -> None:
    facts = json.loads(presenters.encode_message(message()))
    for line in (json.dumps({**facts, **change}), "[]", "", json.dumps({"room": "public"})):
        with pytest.raises((ValueError, TypeError, KeyError)):
            presenters.decode_message(line)


def test_shown_name_without_a_name_is_the_start_of_the_ref() -> None:
    assert presenters.shown_name("0123456789abcdef", "") == "Member 0123"
    assert presenters.shown_name("0123456789abcdef", "Ada") == "Ada"
