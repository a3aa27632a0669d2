"""Moderation of chat rooms: deletions and reports."""

from __future__ import annotations

import pytest
from flask import Flask

from church.database.paging import Place
from church.services import chat
from church.services.chat import errors, moderation
from church.services.sessions import SignedIn
from tests.support.chat_fixture import ROOM, acting, audited, published, speaker
from tests.support.people import DEVICE


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
    assert [(one.text, one.standing) for one in chat.list_reports(settled=True, place=Place(before=second.id))] == [
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
