"""The job that sends an email: once, with retries, and not after its link or account is gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from church.extensions import db
from church.jobs import queue as jobs_queue
from church.jobs import registry
from church.models import Job, Link, Mail, User
from church.models.accounts import Purpose
from church.models.base import utc_now
from church.services import email_links
from church.services.email import outbox_folder, sending
from church.services.email import queue as email_queue
from church.services.email.errors import MailDeferredError, MailRefusedError
from tests.support.helpers import captured_log

ADA = "ada@example.org"


@pytest.fixture(autouse=True)
def _site(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield
        db.dispose()


@pytest.fixture
def server_says(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make delivery raise this error from now on."""

    def say(error: Exception) -> None:
        def refuse(*_args: Any) -> None:
            raise error

        monkeypatch.setattr(outbox_folder, "store_email", refuse)

    return say


def ada(**changes: Any) -> User:
    facts = {"email": ADA, "email_key": ADA, "name": "Ada", "source": "web", "created_at": utc_now()}
    return User(ref="0123456789abcdef", **{**facts, **changes})


def queue(template: str = "password_changed", user: User | None = None, purpose: Purpose | None = None) -> int:
    with db.write() as session:
        if user is not None:
            session.add(user)
            session.flush()
        link = email_links.make(session, purpose, user) if purpose is not None else None
        assert email_queue.queue_email(session, template, recipient=ADA, user=user, link=link)
        return session.scalars(select(Mail.id).order_by(Mail.id.desc())).first() or 0


def send(mail_id: int) -> None:
    registry.find_handler("mails.send")({"mail": mail_id})


def state(mail_id: int) -> tuple[str, int, str | None]:
    with db.read() as session:
        mail = session.get_one(Mail, mail_id)
        return mail.state, mail.attempts, mail.reason


def outbox(app: Flask) -> list[str]:
    return [path.read_text() for path in sorted(outbox_folder.outbox_path(app.config["CHURCH"]).glob("*.eml"))]


def test_send_twice_sends_once(app: Flask, server_says: Any) -> None:
    mail = queue()
    send(mail)
    assert state(mail) == ("sent", 1, None)
    assert len(outbox(app)) == 1
    server_says(AssertionError("sent again"))
    send(mail)
    assert [found.sent_at is not None for found in email_queue.list_recent_emails()] == [True]


def test_send_link_is_not_stored_in_the_database(app: Flask) -> None:
    send(queue("reset", ada(), Purpose.RESET))
    (text,) = outbox(app)
    found = re.search(r"^http://127\.0\.0\.1:8000/auth/reset/([\w.-]+)$", text, re.MULTILINE)
    assert found
    assert email_links.peek(found[1], Purpose.RESET)
    with db.read() as session:
        kept = [str(vars(row)) for table in (Mail, Job, Link) for row in session.scalars(select(table))]
    assert not any(found[1].partition(".")[2] in row for row in kept)


def test_send_deferred_email_stays_pending(app: Flask, server_says: Any) -> None:
    mail = queue()
    server_says(MailDeferredError("the mail server answered 450"))
    for attempt in (1, 2):
        with pytest.raises(MailDeferredError):
            send(mail)
        assert state(mail) == ("pending", attempt, "the mail server answered 450")


def test_send_deferred_too_often_fails(app: Flask, server_says: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(sending, "ATTEMPTS", 2)
    mail = queue()
    server_says(MailDeferredError("away"))
    for _ in range(2):
        with pytest.raises(MailDeferredError):
            send(mail)
    assert state(mail) == ("failed", 2, "away")


def test_send_refused_email_fails_at_once(app: Flask, server_says: Any) -> None:
    mail = queue()
    server_says(MailRefusedError("no such user"))
    send(mail)
    assert state(mail) == ("failed", 1, "no such user")


def test_send_failed_email_whose_job_is_retried_is_sent(app: Flask) -> None:
    mail = queue()
    with db.write() as session:
        session.execute(update(Mail).values(state="failed", attempts=16, reason="away"))
    send(mail)
    assert state(mail) == ("sent", 1, None)


def test_send_email_with_replaced_link_is_removed(app: Flask) -> None:
    user = ada()
    mail = queue("reset", user, Purpose.RESET)
    with db.write() as session:
        email_links.make(session, Purpose.RESET, user)
    send(mail)
    assert (email_queue.list_recent_emails(), outbox(app)) == ([], [])


@pytest.mark.parametrize("purged", [False, True])
def test_send_email_with_expired_link_fails_with_reason(app: Flask, purged: bool) -> None:
    mail = queue("reset", ada(), Purpose.RESET)
    with db.write() as session:
        session.execute(update(Link).values(expires_at=utc_now() - timedelta(seconds=1)))
        if purged:
            session.delete(session.scalars(select(Link)).one())
    send(mail)
    assert state(mail) == ("failed", 0, "link expired before the email was sent")
    assert outbox(app) == []


def test_send_email_of_deleted_account_is_skipped(app: Flask) -> None:
    mail = queue()
    with db.write() as session:
        session.delete(session.get_one(Mail, mail))
    send(mail)
    assert outbox(app) == []


@pytest.mark.parametrize(
    ("template", "verified", "greeting"),
    [
        ("password_changed", True, "Hello Ada,"),
        ("password_changed", False, "Hello,"),
        ("invited", False, "Hello Ada,"),
    ],
)
def test_greeting_has_the_name_only_if_verified_or_invited(
    app: Flask, template: str, verified: bool, greeting: str
) -> None:
    purpose = Purpose.RESET if template == "invited" else None
    send(queue(template, ada(verified_at=utc_now() if verified else None), purpose))
    (text,) = outbox(app)
    assert f"\n{greeting}\n" in text


@pytest.mark.parametrize(
    ("error", "event", "level"),
    [
        (None, "mail.sent", "INFO"),
        (MailDeferredError("away"), "mail.deferred", "WARNING"),
        (MailRefusedError("no such user"), "mail.failed", "ERROR"),
    ],
)
def test_send_log_has_the_number_and_no_address(
    app: Flask, server_says: Any, error: Exception | None, event: str, level: str
) -> None:
    mail = queue()
    if error is not None:
        server_says(error)
    with captured_log() as log, suppress(MailDeferredError):
        send(mail)
    (record,) = [found for found in log.records if found["logger"] == "church.mail"]
    assert (record["event"], record["level"], record["mail_id"], record["template"]) == (
        event,
        level,
        mail,
        "password_changed",
    )
    assert "example" not in str(log.lines)


def test_send_email_and_job_run_out_of_attempts_together(app: Flask, server_says: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(email_queue, "ATTEMPTS", 2)
    monkeypatch.setattr(sending, "ATTEMPTS", 2)
    monkeypatch.setattr(jobs_queue, "_FIRST_RETRY", 0.0)
    mail = queue()
    server_says(MailDeferredError("away"))
    for expected in (("pending", 1, "away"), ("failed", 2, "away")):
        with db.write() as session:
            lease = jobs_queue.take(session, {"mails.send"}, 30)
        assert lease
        with pytest.raises(MailDeferredError):
            send(lease.payload["mail"])
        with db.write() as session:
            left = jobs_queue.fail(session, lease, "away")
        assert state(mail) == expected
    assert left == "dead"


def test_tidy_fails_pending_emails_without_a_job(app: Flask) -> None:
    lost, waiting, running = (queue("password_changed") for _ in range(3))
    with db.write() as session:
        for mail, job_state in ((lost, "dead"), (running, "running")):
            session.execute(update(Job).where(Job.unique_key == sending.job_key(mail)).values(state=job_state))
    sending.clean_up({})
    assert state(lost) == ("failed", 0, "job ended without sending it")
    assert state(waiting)[0] == state(running)[0] == "pending"


@pytest.mark.parametrize(
    ("kept_state", "days", "stays"),
    [("sent", 29, True), ("sent", 31, False), ("failed", 31, True), ("failed", 91, False), ("pending", 91, True)],
)
def test_tidy_removes_old_emails(app: Flask, kept_state: str, days: int, stays: bool) -> None:
    queue()
    with db.write() as session:
        session.execute(update(Mail).values(state=kept_state, created_at=utc_now() - timedelta(days=days)))
    sending.clean_up({})
    assert bool(email_queue.list_recent_emails()) is stays


def test_tidy_runs_every_hour() -> None:
    assert registry.registered_schedules()["mails.tidy"] == timedelta(hours=1)
