"""Retry dead jobs and failed emails for an admin."""

from __future__ import annotations

from church.errors import ConflictError
from church.extensions import db
from church.jobs import queue as jobs_queue
from church.services import audit, email
from church.services.audit import Actor


def retry_job(job_id: int, actor: Actor) -> None:
    """Queue a dead job again. Raises ConflictError if it is not dead, or the same job is queued already."""
    with db.write() as session:
        if not jobs_queue.retry(session, job_id):
            raise ConflictError(f"Job {job_id} is no longer dead, or the same job is already queued.")
        audit.record_by(session, "job.retried", actor, job=job_id)


def retry_email(mail_id: int, actor: Actor) -> None:
    """Queue a failed email again. Raises ConflictError if it has not failed."""
    with db.write() as session:
        if not email.retry_email(session, mail_id):
            raise ConflictError(f"Email {mail_id} has not failed, or no longer exists.")
        audit.record_by(session, "mail.retried", actor, mail=mail_id)
