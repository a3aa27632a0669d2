"""Emails of a deleted account: never sent, without its address, and still counted for an hour."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from church.extensions import db
from church.models import Mail, User
from church.models.base import utc_now
from church.models.jobs import MailState
from church.services.email import outbox_folder, sending
from church.services.email import queue as email_queue
from church.services.email.errors import MailDeferredError
from tests.support.email_queue_fixture import ADA, queue, set_all


@pytest.fixture
def eve(on_both: Flask) -> User:
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


def test_cancelled_email_outside_ascii_counts_in_every_spelling(eve: User) -> None:
    for _ in range(5):
        queue_for(eve, "Jörg@bücher.example")
    set_all(attempts=1)
    withdraw(eve)
    assert not queue(recipient="jo\u0308rg@bücher.example")


def test_cancelled_email_untried_or_old_is_removed(eve: User) -> None:
    queue_for(eve)
    withdraw(eve)
    assert email_queue.list_recent_emails() == []
    queue_for(eve)
    set_all(state="sent", attempts=1, created_at=utc_now() - timedelta(minutes=61))
    queue()
    withdraw(eve)
    assert [mail.recipient for mail in email_queue.list_recent_emails()] == [ADA]


def test_cancelled_email_is_neither_sent_nor_retried(eve: User, on_both: Flask) -> None:
    queue_for(eve)
    set_all(attempts=1, reason="the server did not answer")
    withdraw(eve)
    (mail,) = email_queue.list_recent_emails()
    assert mail.recipient is None
    with db.write() as session:
        assert not email_queue.retry_email(session, mail.id)
    sending.send({"mail": mail.id})
    assert [found.state for found in email_queue.list_recent_emails()] == ["failed"]
    assert not outbox_folder.outbox_path(on_both.config["CHURCH"]).exists()


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
def test_tidy_removes_deletion_emails_after_an_hour_unless_pending(on_both: Flask, state: str, left: int) -> None:
    queue("account_deleted")
    set_all(state=state, created_at=utc_now() - timedelta(minutes=59))
    sending.clean_up({})
    assert len(email_queue.list_recent_emails()) == 1
    set_all(state=state, created_at=utc_now() - timedelta(minutes=61))
    sending.clean_up({})
    assert len(email_queue.list_recent_emails()) == left
