"""Retrying dead jobs and failed emails, and the actions of the audit log."""

from __future__ import annotations

import pytest
from flask import Flask

from church import jobs
from church.errors import ConflictError
from church.extensions import db
from church.models.jobs import Job, Mail
from church.services import email
from church.services.admin_overview import retry_email, retry_job
from church.services.audit import Actor
from tests.support.accounts_fixture import audited

CLI = Actor(via="cli")


def add_job(state: str, unique_key: str | None = None) -> int:
    with db.write() as session:
        jobs.enqueue(session, "pages.index", unique_key=unique_key)
        session.flush()
        job = session.query(Job).order_by(Job.id.desc()).limit(1).one()
        job.state = state
        return job.id


def add_email(state: str) -> int:
    with db.write() as session:
        email.queue_email(session, "verify", recipient="ada@church.example")
        mail = session.query(Mail).one()
        mail.state = state
        return mail.id


def test_dead_job_is_queued_again_and_audited(at_work: Flask) -> None:
    job_id = add_job("dead")
    retry_job(job_id, CLI)
    with db.read() as session:
        job = session.get_one(Job, job_id)
        assert (job.state, job.attempts) == ("pending", 0)
    assert audited() == ["job.retried"]
    with pytest.raises(ConflictError):
        retry_job(job_id, CLI)
    assert audited() == ["job.retried"]


def test_dead_job_whose_key_is_queued_already_is_refused(at_work: Flask) -> None:
    job_id = add_job("dead", "index")
    add_job("pending", "index")
    with pytest.raises(ConflictError):
        retry_job(job_id, CLI)


def test_failed_email_is_queued_again_and_audited(at_work: Flask) -> None:
    mail_id = add_email("failed")
    retry_email(mail_id, CLI)
    with db.read() as session:
        assert session.get_one(Mail, mail_id).state == "pending"
    assert audited() == ["mail.retried"]


def test_email_that_has_not_failed_or_is_unknown_is_refused(at_work: Flask) -> None:
    mail_id = add_email("sent")
    for other in (mail_id, mail_id + 1):
        with pytest.raises(ConflictError):
            retry_email(other, CLI)
    assert audited() == []
