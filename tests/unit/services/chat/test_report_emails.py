"""Emails to admins about reports: batched, once, at most one in 15 minutes, without what was written."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from church.extensions import db
from church.models import ChatReport, Job, Mail, User
from church.models.base import utc_now
from church.services import chat
from church.services.chat import report_emails
from church.services.sessions import SignedIn
from tests.support.billing_rows import stored
from tests.support.chat_fixture import ROOM, acting, speaker
from tests.support.helpers import with_settings


@pytest.fixture
def messages(at_work: Flask, ada: SignedIn, boss: SignedIn) -> list[int]:
    """The numbers of messages in a room, with an admin who has an address."""
    with db.write() as session:
        address = {"email": "boss@church.example", "email_key": "boss@church.example"}
        session.execute(update(User).where(User.id == boss.user_id).values(**address))
    return [chat.post_message(ada, ROOM, f"secret words {number}", None).id for number in range(3)]


def waiting() -> list[Job]:
    return [job for job in stored(Job) if job.kind == "chat.report_email" and job.state == "pending"]


def done() -> None:
    """Run the job that waits, as the worker process does."""
    for job in waiting():
        with db.write() as session:
            session.execute(update(Job).where(Job.id == job.id).values(state="done"))
        report_emails.email_admins(job.payload)


def mails() -> list[tuple[str, str, dict[str, object]]]:
    return [(mail.template, mail.recipient, mail.context) for mail in stored(Mail)]


def test_reports_are_told_together_once_without_their_text(
    at_work: Flask, ada: SignedIn, boss: SignedIn, messages: list[int]
) -> None:
    """The second email waits, and is only about what came since the first."""
    bea = speaker(at_work, "Bea")
    chat.report_message(bea, ROOM, messages[0], "a private reason")
    chat.report_message(bea, ROOM, messages[0], "again")
    chat.report_message(bea, ROOM, messages[1])
    [job] = waiting()
    assert job.run_at <= utc_now()
    done()
    [room] = [view.title for view in chat.list_rooms(boss) if view.name == ROOM]
    assert mails() == [("new_reports", "boss@church.example", {"count": 2, "rooms": room})]
    chat.report_message(bea, ROOM, messages[2])
    [job] = waiting()
    assert timedelta(minutes=14) < job.run_at - utc_now() <= report_emails.PAUSE
    done()
    done()
    assert [context["count"] for _, _, context in mails()] == [2, 1]


def test_report_closed_before_its_email_is_not_told(at_work: Flask, boss: SignedIn, messages: list[int]) -> None:
    chat.report_message(speaker(at_work, "Bea"), ROOM, messages[0])
    chat.close_report(stored(ChatReport)[0].id, acting(boss))
    done()
    assert mails() == []


@pytest.mark.parametrize("changes", [{"verified_at": None}, {"disabled_at": utc_now()}, {"role": "member"}])
def test_report_is_told_only_to_admins_who_can_sign_in(
    at_work: Flask, boss: SignedIn, messages: list[int], changes: dict[str, object]
) -> None:
    chat.report_message(speaker(at_work, "Bea"), ROOM, messages[0])
    with db.write() as session:
        session.execute(update(User).where(User.id == boss.user_id).values(**changes))
    done()
    assert mails() == []


def test_report_is_not_told_where_the_setting_says_so(at_work: Flask, messages: list[int]) -> None:
    at_work.config["CHURCH"] = with_settings(at_work.config["CHURCH"], email_reports=False)
    chat.report_message(speaker(at_work, "Bea"), ROOM, messages[0])
    assert waiting() == []


@pytest.mark.parametrize(
    ("titles", "words"),
    [(["A"], "A"), (["A", "B"], "A and B"), (["A", "B", "C"], "A, B and C"), (list("ABCD"), "A, B, C and other rooms")],
)
def test_rooms_are_named_in_a_sentence(titles: list[str], words: str) -> None:
    assert report_emails._list_rooms(titles) == words
