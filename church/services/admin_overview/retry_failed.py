"""Doing again what failed: dead jobs and mails that did not get out, at the word of an admin."""

from __future__ import annotations

from sqlalchemy import select

from church.errors import ConflictError
from church.extensions import db
from church.jobs import queue as jobs_queue
from church.models.accounts import AuditEntry
from church.services import audit
from church.services.audit import Actor
from church.services.email import queue as email_queue


def retry_job(job_id: int, actor: Actor) -> None:
    """Queue a dead job once more. Raises ConflictError where there is none such, or the same work waits already."""
    with db.write() as session:
        if not jobs_queue.retry(session, job_id):
            raise ConflictError(f"Job {job_id} is no longer dead, or the same job is already queued.")
        audit.record_by(session, "job.retried", actor, job=job_id)


def retry_mail(mail_id: int, actor: Actor) -> None:
    """Queue a failed mail once more. Raises ConflictError where there is none such."""
    with db.write() as session:
        if not email_queue.retry(session, mail_id):
            raise ConflictError(f"Email {mail_id} has not failed, or no longer exists.")
        audit.record_by(session, "mail.retried", actor, mail=mail_id)


def audited_actions() -> list[str]:
    """Every action that the audit log holds, by name."""
    with db.read() as session:
        return list(session.scalars(select(AuditEntry.action).distinct().order_by(AuditEntry.action)))
