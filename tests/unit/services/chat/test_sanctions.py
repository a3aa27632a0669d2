"""Mutes and bans: what they prevent, until they end or are lifted."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from church.errors import ConflictError, FieldErrors
from church.extensions import db
from church.models import ChatSanction
from church.models.base import utc_now
from church.services import chat
from church.services.accounts.member_list import UnknownMemberError
from church.services.audit import Actor
from church.services.chat import errors, sanctions
from church.services.sessions import SignedIn
from tests.support.chat_fixture import ROOM, acting, audited, published, speaker
from tests.support.people import DEVICE

LATER = timedelta(hours=1)


def let_end(sanction: int) -> None:
    with db.write() as session:
        session.execute(update(ChatSanction).where(ChatSanction.id == sanction).values(until=utc_now()))


def test_muted_member_can_read_but_not_post_until_it_ends(ada: SignedIn, boss: SignedIn) -> None:
    chat.post_message(ada, ROOM, "before", None)
    until = utc_now() + LATER
    with published() as heard:
        number = chat.mute_member(ada.ref, ROOM, until, " too\nloud ", acting(boss))
    assert [(channel, json.loads(line)) for channel, line in heard] == [(chat.CONTROL_CHANNEL, {"user": ada.ref})]
    room = chat.load_open_room(ada, ROOM)
    assert (room.muted, room.muted_until) == (True, until)
    assert len(chat.load_page(ada, ROOM).messages) == 1
    with pytest.raises(chat.MutedError, match="until 20"):
        chat.post_message(ada, ROOM, "more", None)
    with pytest.raises(chat.MutedError):
        chat.edit_message(ada, ROOM, 1, "more")
    assert chat.delete_message(ada, ROOM, 1, DEVICE).deleted
    (view,) = chat.list_sanctions(ada.ref)
    assert (view.id, view.kind, view.room, view.reason) == (number, "mute", ROOM, "too loud")
    assert view.given_by is not None
    assert view.given_by.ref == boss.ref
    let_end(number)
    assert chat.post_message(ada, ROOM, "more", None).id == 3
    assert chat.list_sanctions() == []
    assert audited() == [("chat.mute", boss.user_id, ada.user_id)]


def test_banned_member_cannot_enter_until_it_is_lifted(at_work: Flask, boss: SignedIn) -> None:
    gold = speaker(at_work, "Gold", premium=True)
    here = chat.ban_member(gold.ref, "premium", None, "spam", acting(boss))
    everywhere = chat.ban_member(gold.ref, None, utc_now() + LATER, "spam", Actor(via="cli"))
    assert chat.list_banned_rooms([gold.user_id, boss.user_id]) == {gold.user_id: {"public", "premium", "admins"}}
    assert chat.list_rooms(gold) == []
    assert chat.lift_sanction(everywhere, acting(boss)) == gold.ref
    assert chat.list_banned_rooms([gold.user_id]) == {gold.user_id: {"premium"}}
    assert [room.name for room in chat.list_rooms(gold)] == ["public"]
    with pytest.raises(errors.BannedError):
        chat.load_open_room(gold, "premium")
    with pytest.raises(errors.BannedError):
        chat.post_message(gold, "premium", "let me in", None)
    chat.lift_sanction(here, acting(boss))
    assert chat.post_message(gold, "premium", "back", None).id == 1
    with pytest.raises(ConflictError):
        chat.lift_sanction(here, acting(boss))
    with pytest.raises(sanctions.UnknownSanctionError):
        chat.lift_sanction(99, acting(boss))


def test_invalid_sanction_is_refused(ada: SignedIn, boss: SignedIn) -> None:
    with pytest.raises(FieldErrors) as caught:
        chat.mute_member(ada.ref, ROOM, utc_now(), " ", acting(boss))
    assert set(caught.value.errors) == {"until", "reason"}
    with pytest.raises(UnknownMemberError):
        chat.ban_member("nobody", None, None, "spam", acting(boss))
    with pytest.raises(chat.UnknownRoomError):
        chat.ban_member(ada.ref, "cellar", None, "spam", acting(boss))
    with pytest.raises(ConflictError):
        chat.ban_member(boss.ref, None, None, "spam", acting(boss))
    assert (chat.list_sanctions(), audited()) == ([], [])
