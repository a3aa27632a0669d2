"""Removal of messages after the retention time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from church.database import batches
from church.extensions import db
from church.jobs import registry
from church.models import ChatMessage, ChatReport, ChatSanction
from church.models.base import utc_now
from church.services import chat
from church.services.chat import retention
from church.services.sessions import SignedIn
from tests.support.chat_fixture import ROOM, acting, kept, speaker

DAY = timedelta(days=1)


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


def test_purge_removes_all_batches(ada: SignedIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH", 2)
    for number in range(5):
        chat.post_message(ada, ROOM, f"text {number}", None)
    with db.write() as session:
        session.execute(update(ChatMessage).values(created_at=utc_now() - 10_000 * DAY))
    retention.purge_old_messages({})
    assert kept(ChatMessage) == 0


def test_purge_runs_every_day() -> None:
    assert registry.registered_schedules()["chat.purge"] == DAY
