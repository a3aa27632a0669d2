"""Emails from the queue to a real mail server, sent by the worker's threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from pydantic import SecretStr
from sqlalchemy import update

from church import create_app, jobs
from church.config import Settings
from church.extensions import db
from church.jobs import queue as jobs_queue
from church.jobs import worker
from church.models import Mail
from church.models.accounts import Purpose
from church.services import email_links
from church.services.accounts import find_account
from church.services.accounts.validation import Address
from church.services.email import queue as email_queue
from church.services.email import sending
from church.services.email.queue import MailView
from tests.support.helpers import captured_log, with_settings
from tests.support.mail_fixture import MailServer
from tests.support.services_fixture import wait_until

ADA = Address("ada@example.org", "ada@example.org")


@pytest.fixture
def server(mail_server: Callable[..., MailServer]) -> MailServer:
    return mail_server()


@pytest.fixture
def app(migrated_site: Settings, server: MailServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """The site on SQLite and on PostgreSQL, in an app context, with ``server`` and no pause between attempts."""
    monkeypatch.setattr(jobs_queue, "_FIRST_RETRY", 0.01)
    monkeypatch.setattr(worker, "POLL", 0.02)
    app = create_app(with_settings(migrated_site, smtp_url=SecretStr(server.url)))
    with app.app_context():
        yield app
        db.dispose()


@contextmanager
def working(app: Flask) -> Iterator[None]:
    """Run the jobs inside the block."""
    stop = threading.Event()
    thread = threading.Thread(target=jobs.run_worker, args=(app, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def invite() -> str:
    """Queue the email and return the address of its link."""
    with db.write() as session:
        user = find_account.create_account(session, ADA, name="Quilla", source="cli")
        assert user
        link = email_links.make(session, Purpose.RESET, user)
        assert email_queue.queue_email(session, "invited", recipient=ADA.email, user=user, link=link)
        return email_links.link_address(link)


def ended() -> MailView | None:
    (mail,) = email_queue.list_recent_emails()
    return mail if mail.state != "pending" else None


def test_email_arrives_with_its_link_in_both_parts(app: Flask, server: MailServer) -> None:
    address = invite()
    with working(app):
        wait_until(ended, "the email is sent")
    (got,) = server.received
    assert (got.recipients, got.message["To"]) == ([ADA.email], ADA.email)
    assert address in got.text().splitlines()
    assert f'href="{address}"' in got.text("html")
    assert [(mail.state, mail.attempts) for mail in email_queue.list_recent_emails()] == [("sent", 1)]


def test_email_deferred_by_server_arrives_later_once(app: Flask, server: MailServer) -> None:
    server.answers["RCPT"] = ["450 4.2.0 greylisted", "451 4.3.0 try later"]
    invite()
    with captured_log() as log, working(app):
        wait_until(ended, "the email is sent")
        wait_until(lambda: not jobs.count_pending_jobs()["mails.send"], "its job is done")
    assert [(mail.state, mail.attempts) for mail in email_queue.list_recent_emails()] == [("sent", 3)]
    assert len(server.received) == 1
    said = b"".join(log.lines).decode().lower()
    assert "quilla" not in said  # no letters that an id may have
    assert ADA.email not in said


def test_email_refused_by_server_fails_at_once_with_reason(app: Flask, server: MailServer) -> None:
    server.answers["RCPT"] = "550 5.1.1 <ada@example.org> unknown"
    invite()
    with captured_log() as log, working(app):
        wait_until(ended, "the email has failed")
        wait_until(lambda: not jobs.count_pending_jobs()["mails.send"], "its job is done")
    (mail,) = email_queue.list_recent_emails()
    assert (mail.state, mail.reason) == ("failed", "the mail server answered 550 5.1.1 [address] unknown")
    assert server.commands.count("RCPT") == 1
    assert jobs.list_dead_jobs() == []
    said = b"".join(log.lines).decode().lower()
    assert "quilla" not in said  # no letters that an id may have
    assert ADA.email not in said


def test_email_is_sent_when_the_server_is_back(app: Flask, server: MailServer) -> None:
    server.stop()
    invite()
    with working(app):
        wait_until(lambda: email_queue.list_recent_emails()[0].attempts >= 2, "two attempts have failed")
        server.start()
        wait_until(ended, "the email is sent")
    assert len({got.message["Message-ID"] for got in server.received}) == len(server.received) == 1


def test_email_sent_again_after_crash_has_the_same_message_id(app: Flask, server: MailServer) -> None:
    invite()
    with working(app):
        wait_until(ended, "the email is sent")
    (mail,) = email_queue.list_recent_emails()
    with db.write() as session:
        session.execute(update(Mail).values(state="pending"))
        jobs.enqueue(session, "mails.send", {"mail": mail.id}, unique_key=sending.job_key(mail.id))
    with working(app):
        wait_until(ended, "the email is sent again")
    first, second = server.received
    assert first.message["Message-ID"] == second.message["Message-ID"]
