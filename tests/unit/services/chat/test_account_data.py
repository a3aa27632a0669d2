"""A member's chat data: export, deletion with the account, and removal after the retention time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from church.extensions import db
from church.models import ChatMessage, ChatReport, ChatSanction, User
from church.models.base import utc_now
from church.services import chat
from church.services.accounts import data_registry
from church.services.accounts.deletion import empty_account
from church.services.chat import retention
from church.services.sessions import SignedIn
from tests.support.chat_fixture import ROOM, acting, published, speaker
from tests.support.people import DEVICE

DAY = timedelta(days=1)


@pytest.fixture
def ada(at_work: Flask) -> SignedIn:
    return speaker(at_work, premium=True)


def kept(model: type[ChatMessage | ChatReport | ChatSanction]) -> int:
    with db.read() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


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


def test_purge_removes_what_is_older_than_the_setting_with_its_reports(at_work: Flask, ada: SignedIn) -> None:
    boss = speaker(at_work, "Boss", role="admin")
    for number in range(3):
        chat.post_message(ada, ROOM, f"text {number}", None)
        chat.report_message(boss, ROOM, number + 1)
    lifted = chat.mute_member(ada.ref, None, None, "loud", acting(boss))
    chat.lift_sanction(lifted, acting(boss))
    chat.ban_member(ada.ref, None, None, "loud", acting(boss))
    keep = timedelta(days=at_work.config["CHURCH"].live_keep_days)
    with db.write() as session:
        old = update(ChatMessage).where(ChatMessage.number < 3)
        session.execute(old.values(created_at=utc_now() - keep - DAY))
        session.execute(update(ChatMessage).where(ChatMessage.number == 3).values(created_at=utc_now() - keep + DAY))
        lifting = update(ChatSanction).where(ChatSanction.id == lifted)
        session.execute(lifting.values(lifted_at=utc_now() - keep - DAY))
    retention.purge_old_messages({})
    assert (kept(ChatMessage), kept(ChatReport), kept(ChatSanction)) == (1, 1, 1)
    assert chat.list_newest_changes()[ROOM] == 3  # numbers are never reused
