"""The queue of emails: transactions, the hourly limit, and retries."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from church.database.paging import Place
from church.extensions import db
from church.models import Job, Mail, User
from church.models.base import utc_now
from church.models.jobs import MailState
from church.services.email import queue as email_queue
from church.services.email.sending import ATTEMPTS
from tests.support.email_queue_fixture import ADA, queue, set_all


def jobs_of_mails() -> list[Job]:
    with db.read() as session:
        return list(session.scalars(select(Job).where(Job.kind == "mails.send").order_by(Job.id)))


def test_queue_commits_email_and_job_with_their_cause(on_both: Flask) -> None:
    assert queue()
    (mail,) = email_queue.list_recent_emails()
    assert (mail.template, mail.recipient, mail.state, mail.attempts) == ("password_changed", ADA, "pending", 0)
    (job,) = jobs_of_mails()
    assert (job.payload, job.max_attempts) == ({"mail": mail.id}, ATTEMPTS)
    assert email_queue.count_pending_emails() == 1


def test_queue_rolled_back_leaves_nothing(on_both: Flask) -> None:
    def fail() -> None:
        with db.write() as session:
            assert email_queue.queue_email(session, "password_changed", recipient=ADA)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (email_queue.list_recent_emails(), jobs_of_mails(), email_queue.count_pending_emails()) == ([], [], 0)


def test_queue_unknown_template_raises(on_both: Flask) -> None:
    with pytest.raises(ValueError, match="no email template 'pasword_changed'; known are account_deleted"):
        queue("pasword_changed")


def test_queue_sixth_email_of_a_template_in_an_hour_is_refused(on_both: Flask) -> None:
    assert [queue() for _ in range(6)] == [True] * 5 + [False]
    assert not queue(recipient="Ada@Example.org")
    assert queue("account_deleted")
    assert queue(recipient="eve@example.org")
    assert len(jobs_of_mails()) == 7


def test_queue_limit_counts_every_spelling_of_an_address(on_both: Flask) -> None:
    spellings = ["jörg@bücher.example", "JÖRG@bücher.example", "jo\u0308rg@bücher.example", "Jörg@bücher.example"]
    assert all(queue(recipient=spelling) for spelling in [*spellings, spellings[0]])
    assert not any(queue(recipient=spelling) for spelling in spellings)
    assert queue(recipient="jorg@bücher.example")
    assert queue(recipient="jörg@bucher.example")


@pytest.mark.parametrize("state", list(MailState))
def test_queue_limit_counts_emails_of_every_state_for_an_hour(on_both: Flask, state: MailState) -> None:
    assert [queue() for _ in range(5)] == [True] * 5
    set_all(created_at=utc_now() - timedelta(minutes=59), state=state.value)
    assert not queue()
    set_all(created_at=utc_now() - timedelta(minutes=61))
    assert queue()


def test_queue_in_parallel_keeps_the_limit(on_both: Flask) -> None:
    start = threading.Barrier(8)
    queued: list[bool] = []

    def try_it() -> None:
        with on_both.app_context():
            start.wait(10)
            queued.append(queue())

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(queued) == [False] * 3 + [True] * 5
    assert len(email_queue.list_recent_emails()) == 5


def test_recent_lists_newest_first_in_pages_by_state(on_both: Flask) -> None:
    for recipient in ("a@example.org", "b@example.org", "c@example.org"):
        queue(recipient=recipient)
    newest = email_queue.list_recent_emails(place=Place(size=2))
    assert [mail.recipient for mail in newest] == ["c@example.org", "b@example.org"]
    assert [mail.recipient for mail in email_queue.list_recent_emails(place=Place(before=newest[-1].id))] == [
        "a@example.org"
    ]
    with db.write() as session:
        session.execute(update(Mail).where(Mail.recipient == "b@example.org").values(state="failed", reason="why"))
    assert [(mail.recipient, mail.reason) for mail in email_queue.list_recent_emails("failed")] == [
        ("b@example.org", "why")
    ]
    assert len(email_queue.list_recent_emails("pending")) == email_queue.count_pending_emails() == 2


def test_recent_shows_the_account(on_both: Flask) -> None:
    with db.write() as session:
        user = User(ref="0123456789abcdef", email=ADA, email_key=ADA, name="", source="cli", created_at=utc_now())
        session.add(user)
        email_queue.queue_email(session, "password_changed", recipient=ADA, user=user)
    assert [mail.user_ref for mail in email_queue.list_recent_emails()] == ["0123456789abcdef"]


def test_retry_failed_email_gets_all_attempts_again(on_both: Flask) -> None:
    queue()
    with db.write() as session:
        session.execute(update(Job).values(state="dead"))
    set_all(state="failed", attempts=ATTEMPTS, reason="why")
    (mail,) = email_queue.list_recent_emails()
    with db.write() as session:
        assert email_queue.retry_email(session, mail.id)
        assert not email_queue.retry_email(session, mail.id)
    (again,) = email_queue.list_recent_emails()
    assert (again.state, again.attempts, again.reason) == ("pending", 0, None)
    assert [job.state for job in jobs_of_mails()] == ["dead", "pending"]


@pytest.mark.parametrize("state", ["pending", "sent"])
def test_retry_email_not_failed_is_refused(on_both: Flask, state: str) -> None:
    queue()
    set_all(state=state)
    (mail,) = email_queue.list_recent_emails()
    with db.write() as session:
        assert not email_queue.retry_email(session, mail.id)
        assert not email_queue.retry_email(session, mail.id + 1)
    assert len(jobs_of_mails()) == 1


def test_scrape_counts_pending_emails(on_both: Flask) -> None:
    queue()
    queue(recipient="eve@example.org")
    exposition = on_both.test_client().get("/metrics").get_data(as_text=True)
    assert "\nmail_pending 2.0\n" in exposition
