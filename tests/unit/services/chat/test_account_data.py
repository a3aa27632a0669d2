"""Chat data of a member: export, and deletion with the account."""

from __future__ import annotations

import pytest
from flask import Flask

from church.extensions import db
from church.models import ChatReport, ChatSanction, User
from church.services import chat
from church.services.accounts import data_registry
from church.services.accounts.deletion import empty_account
from church.services.sessions import SignedIn
from tests.support.chat_fixture import ROOM, acting, kept, published, speaker
from tests.support.people import DEVICE


@pytest.fixture
def ada(at_work: Flask) -> SignedIn:
    return speaker(at_work, premium=True)


def test_export_has_messages_reports_and_sanctions(at_work: Flask, ada: SignedIn) -> None:
    boss = speaker(at_work, "Boss", role="admin")
    chat.post_message(boss, ROOM, "not hers", None)
    chat.post_message(ada, ROOM, "one", "a-1")
    chat.post_message(ada, ROOM, "gone", None)
    chat.post_message(ada, "premium", "two", None)
    chat.delete_message(ada, ROOM, 3, DEVICE)
    chat.report_message(ada, ROOM, 1, "why not")
    chat.mute_member(ada.ref, "premium", None, "loud", acting(boss))
    with db.read() as session:
        found = data_registry.collect_data(session, session.get_one(User, ada.user_id))["live"]
    assert [(one["room"], one["number"], one["text"]) for one in found["messages"]] == [
        ("premium", 1, "two"),
        (ROOM, 2, "one"),
    ]
    assert [one["reason"] for one in found["reports"]] == ["why not"]
    assert [(one["kind"], one["room"], one["reason"]) for one in found["sanctions"]] == [("mute", "premium", "loud")]


def test_deleted_account_leaves_no_message_and_each_room_is_notified(at_work: Flask, ada: SignedIn) -> None:
    boss = speaker(at_work, "Boss", role="admin")
    for room, text in ((ROOM, "one"), ("premium", "two"), (ROOM, "three")):
        chat.post_message(ada, room, text, None)
    chat.post_message(boss, ROOM, "stays", None)
    chat.report_message(ada, ROOM, 3, "hers about another")
    chat.report_message(boss, ROOM, 1, "of hers")
    chat.mute_member(ada.ref, None, None, "loud", acting(boss))
    with published() as heard:
        with db.write() as session:
            empty_account(session, session.get_one(User, ada.user_id))
        last = {channel: chat.decode_message(line) for channel, line in heard}
    missed = chat.list_changes(chat.load_open_room(boss, ROOM).id, 3)
    assert [(view.id, view.changed, view.deleted, view.text) for view in missed] == [(1, 4, True, ""), (2, 5, True, "")]
    assert (last["chat:public"], last["chat:premium"].id) == (missed[-1], 1)
    assert [view.text for view in chat.load_page(boss, ROOM).messages] == ["stays"]
    assert (kept(ChatReport), kept(ChatSanction)) == (0, 0)
