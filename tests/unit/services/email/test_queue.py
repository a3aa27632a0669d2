"""The queue of emails: transactions, the hourly limit, retries, and cancelling."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from church import create_app
from church.config import Settings
from church.extensions import db
from church.models import Job, Mail, User
from church.models.base import utc_now
from church.models.jobs import MailState
from church.services.email import outbox_folder, sending
from church.services.email import queue as email_queue
from church.services.email.errors import MailDeferredError
from church.services.email.sending import ATTEMPTS

ADA = "ada@example.org"


@pytest.fixture
def app(migrated_site: Settings) -> Iterator[Flask]:
    """The site on SQLite and on PostgreSQL, in its context."""
    app = create_app(migrated_site)
    with app.app_context():
        yield app
        db.dispose()


def queue(template: str = "password_changed", recipient: str = ADA) -> bool:
    with db.write() as session:
        return email_queue.queue_email(session, template, recipient=recipient)


def jobs_of_mails() -> list[Job]:
    with db.read() as session:
        return list(session.scalars(select(Job).where(Job.kind == "mails.send").order_by(Job.id)))


def set_all(**values: object) -> None:
    with db.write() as session:
        session.execute(update(Mail).values(**values))


def test_queue_commits_email_and_job_with_their_cause(app: Flask) -> None:
    assert queue()
    (mail,) = email_queue.list_recent_emails()
    assert (mail.template, mail.recipient, mail.state, mail.attempts) == ("password_changed", ADA, "pending", 0)
    (job,) = jobs_of_mails()
    assert (job.payload, job.max_attempts) == ({"mail": mail.id}, ATTEMPTS)
    assert email_queue.count_pending_emails() == 1


def test_queue_rolled_back_leaves_nothing(app: Flask) -> None:
    def fail() -> None:
        with db.write() as session:
            assert email_queue.queue_email(session, "password_changed", recipient=ADA)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (email_queue.list_recent_emails(), jobs_of_mails(), email_queue.count_pending_emails()) == ([], [], 0)


def test_queue_unknown_template_raises(app: Flask) -> None:
    with pytest.raises(ValueError, match="no email template 'pasword_changed'; known are account_deleted"):
        queue("pasword_changed")


def test_queue_sixth_email_of_a_template_in_an_hour_is_refused(app: Flask) -> None:
    assert [queue() for _ in range(6)] == [True] * 5 + [False]
    assert not queue(recipient="Ada@Example.org")
    assert queue("account_deleted")
    assert queue(recipient="eve@example.org")
    assert len(jobs_of_mails()) == 7


@pytest.mark.parametrize("state", list(MailState))
def test_queue_limit_counts_emails_of_every_state_for_an_hour(app: Flask, state: MailState) -> None:
    assert [queue() for _ in range(5)] == [True] * 5
    set_all(created_at=utc_now() - timedelta(minutes=59), state=state.value)
    assert not queue()
    set_all(created_at=utc_now() - timedelta(minutes=61))
    assert queue()


def test_queue_in_parallel_keeps_the_limit(app: Flask) -> None:
    start = threading.Barrier(8)
    queued: list[bool] = []

    def try_it() -> None:
        with app.app_context():
            start.wait(10)
            queued.append(queue())

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(queued) == [False] * 3 + [True] * 5
    assert len(email_queue.list_recent_emails()) == 5


def test_recent_lists_newest_first_in_pages_by_state(app: Flask) -> None:
    for recipient in ("a@example.org", "b@example.org", "c@example.org"):
        queue(recipient=recipient)
    newest = email_queue.list_recent_emails(limit=2)
    assert [mail.recipient for mail in newest] == ["c@example.org", "b@example.org"]
    assert [mail.recipient for mail in email_queue.list_recent_emails(before_id=newest[-1].id)] == ["a@example.org"]
    with db.write() as session:
        session.execute(update(Mail).where(Mail.recipient == "b@example.org").values(state="failed", reason="why"))
    assert [(mail.recipient, mail.reason) for mail in email_queue.list_recent_emails("failed")] == [
        ("b@example.org", "why")
    ]
    assert len(email_queue.list_recent_emails("pending")) == email_queue.count_pending_emails() == 2


def test_recent_shows_the_account(app: Flask) -> None:
    with db.write() as session:
        user = User(ref="0123456789abcdef", email=ADA, email_key=ADA, name="", source="cli", created_at=utc_now())
        session.add(user)
        email_queue.queue_email(session, "password_changed", recipient=ADA, user=user)
    assert [mail.user_ref for mail in email_queue.list_recent_emails()] == ["0123456789abcdef"]


def test_retry_failed_email_gets_all_attempts_again(app: Flask) -> None:
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
def test_retry_email_not_failed_is_refused(app: Flask, state: str) -> None:
    queue()
    set_all(state=state)
    (mail,) = email_queue.list_recent_emails()
    with db.write() as session:
        assert not email_queue.retry_email(session, mail.id)
        assert not email_queue.retry_email(session, mail.id + 1)
    assert len(jobs_of_mails()) == 1


@pytest.fixture
def eve(app: Flask) -> User:
    """An account that is about to be deleted."""
    with db.write() as session:
        user = User(ref="0123456789abcdef", email=ADA, email_key=ADA, name="", source="web", created_at=utc_now())
        session.add(user)
    return user


def queue_for(user: User, recipient: str = ADA) -> None:
    with db.write() as session:
        assert email_queue.queue_email(session, "password_changed", recipient=recipient, user=user, name="Eve")


def withdraw(user: User) -> None:
    with db.write() as session:
        email_queue.cancel_emails(session, user.id)


@pytest.mark.parametrize("state", list(MailState))
def test_cancelled_email_that_was_tried_still_counts_without_address(eve: User, state: MailState) -> None:
    for recipient in (ADA, "Ada@Example.org", ADA, ADA, ADA):
        queue_for(eve, recipient)
    set_all(state=state.value, attempts=1)
    withdraw(eve)
    left = email_queue.list_recent_emails()
    assert {(mail.user_ref, mail.reason) for mail in left} == {(None, "its account was deleted")}
    assert {mail.state for mail in left} == {"failed" if state is MailState.PENDING else state.value}
    with db.read() as session:
        rows = session.scalars(select(Mail)).all()
    assert {(row.user_id, row.link_id, str(row.context), "@" in row.recipient) for row in rows} == {
        (None, None, "{}", False)
    }
    assert not queue()
    assert queue(recipient="eve@example.org")


def test_cancelled_email_untried_or_old_is_removed(eve: User) -> None:
    queue_for(eve)
    withdraw(eve)
    assert email_queue.list_recent_emails() == []
    queue_for(eve)
    set_all(state="sent", attempts=1, created_at=utc_now() - timedelta(minutes=61))
    queue()
    withdraw(eve)
    assert [mail.recipient for mail in email_queue.list_recent_emails()] == [ADA]


def test_cancelled_email_is_neither_sent_nor_retried(eve: User, app: Flask) -> None:
    queue_for(eve)
    set_all(attempts=1, reason="the server did not answer")
    withdraw(eve)
    (mail,) = email_queue.list_recent_emails()
    assert mail.recipient is None
    with db.write() as session:
        assert not email_queue.retry_email(session, mail.id)
    sending.send({"mail": mail.id})
    assert [found.state for found in email_queue.list_recent_emails()] == ["failed"]
    assert not outbox_folder.outbox_path(app.config["CHURCH"]).exists()


@pytest.mark.parametrize("fails", [True, False])
def test_email_cancelled_while_sending_is_not_tried_again(
    eve: User, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    queue_for(eve)
    (mail,) = email_queue.list_recent_emails()

    def deliver(*_args: object) -> None:
        withdraw(eve)
        if fails:
            raise MailDeferredError("the server did not answer")

    monkeypatch.setattr(outbox_folder, "store_email", deliver)
    with pytest.raises(MailDeferredError) if fails else nullcontext():
        sending.send({"mail": mail.id})
    assert [found.state for found in email_queue.list_recent_emails()] == ["failed" if fails else "sent"]
    assert email_queue.count_pending_emails() == 0


def test_tidy_removes_only_cancelled_emails_after_an_hour(eve: User) -> None:
    queue_for(eve)
    set_all(state="sent", attempts=1)
    withdraw(eve)
    queue()
    set_all(state="sent", created_at=utc_now() - timedelta(minutes=59))
    sending.clean_up({})
    assert len(email_queue.list_recent_emails()) == 2
    set_all(created_at=utc_now() - timedelta(minutes=61))
    sending.clean_up({})
    assert [mail.recipient for mail in email_queue.list_recent_emails()] == [ADA]


@pytest.mark.parametrize(("state", "left"), [("pending", 1), ("sent", 0), ("failed", 0)])
def test_tidy_removes_deletion_emails_after_an_hour_unless_pending(app: Flask, state: str, left: int) -> None:
    queue("account_deleted")
    set_all(state=state, created_at=utc_now() - timedelta(minutes=59))
    sending.clean_up({})
    assert len(email_queue.list_recent_emails()) == 1
    set_all(state=state, created_at=utc_now() - timedelta(minutes=61))
    sending.clean_up({})
    assert len(email_queue.list_recent_emails()) == left


def test_scrape_counts_pending_emails(app: Flask) -> None:
    queue()
    queue(recipient="eve@example.org")
    exposition = app.test_client().get("/metrics").get_data(as_text=True)
    assert "\nmail_pending 2.0\n" in exposition
