"""What the database has of one request: the jobs that it queued, their emails, audit entries, and its webhook event."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.extensions import db
from church.models import Job, Mail, StripeEvent
from church.services import audit
from church.services.audit import AuditView

_MOST = 100
_EMAIL_JOB = "mails.send"


@dataclass(frozen=True)
class JobRow:
    """A job that the request queued, and what became of it."""

    id: int
    kind: str
    state: str
    attempts: int
    reason: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class EmailRow:
    """An email that the request caused, without its recipient."""

    id: int
    template: str
    state: str
    reason: str | None
    sent_at: datetime | None


@dataclass(frozen=True)
class WebhookRow:
    """The webhook event that the request delivered."""

    id: int
    type: str
    state: str
    reason: str | None


@dataclass(frozen=True)
class RequestRows:
    """The rows of one request, oldest first; of each kind at most 100."""

    jobs: list[JobRow] = field(default_factory=list)
    emails: list[EmailRow] = field(default_factory=list)
    audit: list[AuditView] = field(default_factory=list)
    webhooks: list[WebhookRow] = field(default_factory=list)


def find_request_rows(request_id: str) -> RequestRows:
    """Find what a request has left in the database. Raises DatabaseDownError, DatabaseBusyError."""
    with db.read() as session:
        jobs = session.scalars(select(Job).where(Job.request_id == request_id).order_by(Job.id).limit(_MOST)).all()
        return RequestRows(
            jobs=[
                JobRow(job.id, job.kind, job.state, job.attempts, job.error, job.created_at, job.finished_at)
                for job in jobs
            ],
            emails=_find_emails(session, [job.payload.get("mail") for job in jobs if job.kind == _EMAIL_JOB]),
            audit=audit.list_of_request(session, request_id, _MOST),
            webhooks=_find_webhooks(session, request_id),
        )


def _find_webhooks(session: Session, request_id: str) -> list[WebhookRow]:
    delivered = select(StripeEvent).where(StripeEvent.request_id == request_id).order_by(StripeEvent.id)
    found = session.scalars(delivered.limit(_MOST))
    return [WebhookRow(event.id, event.type, event.state, event.reason) for event in found]


def _find_emails(session: Session, ids: list[object]) -> list[EmailRow]:
    wanted = [number for number in ids if isinstance(number, int)]
    if not wanted:
        return []
    found = session.scalars(select(Mail).where(Mail.id.in_(wanted)).order_by(Mail.id))
    return [EmailRow(mail.id, mail.template, mail.state, mail.reason, mail.sent_at) for mail in found]
