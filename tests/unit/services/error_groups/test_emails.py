"""Emails to admins about errors: one for a new one and for one that is back, bounded, without what it said."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from church.extensions import db
from church.models import ErrorGroup, Job, Mail, User
from church.models.accounts import Role
from church.models.base import utc_now
from church.models.error_groups import ErrorState
from church.services import error_groups
from church.services.audit import Actor
from church.services.error_groups import SeenError
from tests.support.billing_rows import stored
from tests.support.helpers import with_settings
from tests.support.people import add_user

PRINTS = [f"{number:016x}" for number in range(9)]


@pytest.fixture(autouse=True)
def admin(at_work: Flask) -> User:
    return add_user(at_work, "boss@church.example", role=Role.ADMIN.value)


def occur(*prints: str) -> None:
    now = utc_now()
    error_groups.record_errors(
        [SeenError(one, "LookupError", "church/x.py:f", "secret", "1", now, now) for one in prints]
    )


def waiting() -> list[Job]:
    return [job for job in stored(Job) if job.kind == "errors.email" and job.state == "pending"]


def send() -> None:
    """Run the job that waits, as the worker process does."""
    for job in waiting():
        with db.write() as session:
            session.execute(update(Job).where(Job.id == job.id).values(state="done"))
        error_groups.email_admins(job.payload)


def emails() -> list[dict[str, object]]:
    return [mail.context for mail in stored(Mail) if mail.template == "new_errors"]


def test_email_names_a_new_error_once_without_its_message() -> None:
    occur(PRINTS[0])
    send()
    occur(PRINTS[0])
    assert waiting() == []
    assert emails() == [
        {"count": 1, "errors": [{"error_type": "LookupError", "place": "church/x.py:f", "is_back": False}]}
    ]


def test_email_about_an_error_that_is_back_says_so() -> None:
    occur(PRINTS[0])
    send()
    with db.write() as session:
        session.get_one(ErrorGroup, PRINTS[0]).emailed_at = utc_now() - timedelta(hours=1)
    error_groups.change_state(PRINTS[0], ErrorState.RESOLVED, Actor())
    occur(PRINTS[0])
    send()
    (_, second) = emails()
    assert second["errors"] == [{"error_type": "LookupError", "place": "church/x.py:f", "is_back": True}]


def test_emails_many_errors_are_one_email_that_names_five() -> None:
    occur(*PRINTS)
    send()
    (only,) = emails()
    assert only["count"] == 9
    assert len(only["errors"]) == 5  # type: ignore[arg-type]


def test_email_after_another_waits_a_quarter_of_an_hour() -> None:
    occur(PRINTS[0])
    send()
    occur(PRINTS[1])
    (job,) = waiting()
    wait = job.run_at - utc_now()
    assert timedelta(minutes=14) < wait <= timedelta(minutes=15)


def test_email_is_not_sent_about_an_error_that_was_resolved_meanwhile() -> None:
    occur(PRINTS[0])
    error_groups.change_state(PRINTS[0], ErrorState.RESOLVED, Actor())
    send()
    assert emails() == []


def test_emails_that_are_turned_off_are_not_queued(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(at_work.config, "CHURCH", with_settings(at_work.config["CHURCH"], email_errors=False))
    occur(PRINTS[0])
    assert waiting() == []
