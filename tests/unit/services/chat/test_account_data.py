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
from church.services.accounts.deletion import empty
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
    chat.post(boss, ROOM, "not hers", None)
    chat.post(ada, ROOM, "one", "a-1")
    chat.post(ada, ROOM, "gone", None)
    chat.post(ada, "premium", "two", None)
    chat.delete(ada, ROOM, 3, DEVICE)
    chat.report(ada, ROOM, 1, "why not")
    chat.mute(ada.ref, "premium", None, "loud", acting(boss))
    with db.read() as session:
        found = data_registry.collect(session, session.get_one(User, ada.user_id))["live"]
    assert [(one["room"], one["number"], one["text"]) for one in found["messages"]] == [
        ("premium", 1, "two"),
        (ROOM, 2, "one"),
    ]
    assert [one["reason"] for one in found["reports"]] == ["why not"]
    assert [(one["kind"], one["room"], one["reason"]) for one in found["sanctions"]] == [("mute", "premium", "loud")]


def test_deleted_account_leaves_no_message_and_each_room_is_notified(at_work: Flask, ada: SignedIn) -> None:
    boss = speaker(at_work, "Boss", role="admin")
    for room, text in ((ROOM, "one"), ("premium", "two"), (ROOM, "three")):
        chat.post(ada, room, text, None)
    chat.post(boss, ROOM, "stays", None)
    chat.report(ada, ROOM, 3, "hers about another")
    chat.report(boss, ROOM, 1, "of hers")
    chat.mute(ada.ref, None, None, "loud", acting(boss))
    with published() as heard:
        with db.write() as session:
            empty(session, session.get_one(User, ada.user_id))
        last = {channel: chat.decode(line) for channel, line in heard}
    missed = chat.since(chat.may_enter(boss, ROOM).id, 3)
    assert [(view.id, view.changed, view.deleted, view.text) for view in missed] == [(1, 4, True, ""), (2, 5, True, "")]
    assert (last["chat:public"], last["chat:premium"].id) == (missed[-1], 1)
    assert [view.text for view in chat.page(boss, ROOM).messages] == ["stays"]
    assert (kept(ChatReport), kept(ChatSanction)) == (0, 0)


def test_purge_removes_what_is_older_than_the_setting_with_its_reports(at_work: Flask, ada: SignedIn) -> None:
    boss = speaker(at_work, "Boss", role="admin")
    for number in range(3):
        chat.post(ada, ROOM, f"text {number}", None)
        chat.report(boss, ROOM, number + 1)
    lifted = chat.mute(ada.ref, None, None, "loud", acting(boss))
    chat.lift(lifted, acting(boss))
    chat.ban(ada.ref, None, None, "loud", acting(boss))
    keep = timedelta(days=at_work.config["CHURCH"].live_keep_days)
    with db.write() as session:
        old = update(ChatMessage).where(ChatMessage.number < 3)
        session.execute(old.values(created_at=utc_now() - keep - DAY))
        session.execute(update(ChatMessage).where(ChatMessage.number == 3).values(created_at=utc_now() - keep + DAY))
        lifting = update(ChatSanction).where(ChatSanction.id == lifted)
        session.execute(lifting.values(lifted_at=utc_now() - keep - DAY))
    chat.purge({})
    assert (kept(ChatMessage), kept(ChatReport), kept(ChatSanction)) == (1, 1, 1)
    assert chat.heads()[ROOM] == 3  # numbers are never reused
