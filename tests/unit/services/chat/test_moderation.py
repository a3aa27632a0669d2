"""Moderation of chat rooms: deletions, reports, mutes and bans."""

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
from church.services.chat import errors, moderation, sanctions
from church.services.sessions import SignedIn
from tests.support.chat_fixture import ROOM, acting, audited, published, speaker
from tests.support.people import DEVICE

LATER = timedelta(hours=1)


@pytest.fixture
def ada(at_work: Flask) -> SignedIn:
    return speaker(at_work)


@pytest.fixture
def boss(at_work: Flask) -> SignedIn:
    return speaker(at_work, "Boss", role="admin")


def let_end(sanction: int) -> None:
    with db.write() as session:
        session.execute(update(ChatSanction).where(ChatSanction.id == sanction).values(until=utc_now()))


def test_author_or_admin_deletes_a_message_with_its_text(ada: SignedIn, boss: SignedIn, at_work: Flask) -> None:
    bea = speaker(at_work, "Bea")
    for text in ("mine", "hers", "left"):
        chat.post_message(ada, ROOM, text, None)
    with pytest.raises(errors.NotYoursError):
        chat.delete_message(bea, ROOM, 1, DEVICE)
    with published() as heard:
        own = chat.delete_message(ada, ROOM, 1, DEVICE)
        removed = chat.delete_message(boss, ROOM, 2, DEVICE)
    assert [chat.decode_message(line) for _, line in heard] == [own, removed]
    assert [(view.deleted, view.text, view.html, view.from_ref) for view in (own, removed)] == [
        (True, "", "", ada.ref)
    ] * 2
    assert audited() == [("chat.message_removed", boss.user_id, ada.user_id)]
    for again in (ada, boss):
        with pytest.raises(errors.UnknownMessageError):
            chat.delete_message(again, ROOM, 1, DEVICE)
    with pytest.raises(errors.UnknownMessageError):
        chat.edit_message(ada, ROOM, 1, "back")


def test_delete_in_a_closed_room_is_allowed_to_author_and_admins(at_work: Flask, ada: SignedIn, boss: SignedIn) -> None:
    gold = speaker(at_work, "Gold", premium=True)
    chat.post_message(gold, "premium", "one", None)
    chat.post_message(gold, "premium", "two", None)
    with pytest.raises(errors.ClosedRoomError):
        chat.delete_message(ada, "premium", 1, DEVICE)
    lapsed = SignedIn(gold.user_id, gold.ref, "Gold", "", "member", True, 0, "")
    assert chat.delete_message(lapsed, "premium", 1, DEVICE).deleted
    assert chat.delete_message(boss, "premium", 2, DEVICE).deleted


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


def test_report_keeps_the_text_and_is_closed_with_all_reports_of_the_message(
    at_work: Flask, ada: SignedIn, boss: SignedIn
) -> None:
    bea = speaker(at_work, "Bea")
    chat.post_message(ada, ROOM, "rude", None)
    chat.report_message(bea, ROOM, 1, " not \n nice")
    chat.report_message(bea, ROOM, 1, "again")
    chat.report_message(boss, ROOM, 1)
    chat.edit_message(ada, ROOM, 1, "polite")
    first, second = reversed(chat.list_reports())
    assert (first.text, first.reason, first.reporter.ref, first.author.ref) == ("rude", "not nice", bea.ref, ada.ref)
    assert (first.room, first.number, first.standing, second.reason) == (ROOM, 1, True, "")
    assert chat.count_open_reports() == 2
    with published() as heard:
        chat.close_report(first.id, acting(boss), removing=True)
    assert chat.decode_message(heard[0][1]).deleted
    assert chat.list_reports() == []
    assert [(one.text, one.standing) for one in chat.list_reports(settled=True, before_id=second.id)] == [
        ("rude", False)
    ]
    chat.close_report(second.id, acting(boss), removing=True)  # it is deleted already
    with pytest.raises(moderation.UnknownReportError):
        chat.close_report(99, acting(boss))
    with pytest.raises(errors.UnknownMessageError):
        chat.report_message(bea, ROOM, 1)
    gold = speaker(at_work, "Gold", premium=True)
    chat.post_message(gold, "premium", "unseen", None)
    with pytest.raises(errors.ClosedRoomError):
        chat.report_message(bea, "premium", 1)
