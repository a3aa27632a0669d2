"""Mails: queued in the transaction that causes them, written and sent by the worker process.

``mail_sending`` does the job, ``mail_text`` writes the words, ``mail_smtp`` and ``mail_outbox`` are the ways out.
No log line and no job names who a mail is for: both know its number.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from church import jobs
from church.database.paging import newest_first
from church.extensions import db
from church.models.accounts import Link, User
from church.models.base import utc_now
from church.models.jobs import Mail, MailState
from church.services.email.cancel_queued import WINDOW, is_withdrawn, stand_in, withdraw
from church.services.email.compose import TEMPLATES
from church.services.email.sending import ATTEMPTS, KIND, job_key

__all__ = ["MOST_AN_HOUR", "MailView", "pending_count", "queue", "recent", "retry", "withdraw"]

# Mails of one template to one address; beyond that a stranger would be using the site to fill a mailbox.
MOST_AN_HOUR = 5


@dataclass(frozen=True)
class MailView:
    """A mail as an admin sees it; ``reason`` is why the last attempt failed.

    ``recipient`` is None once the account is deleted: the mail is only counted then, and can't be sent again.
    """

    id: int
    template: str
    recipient: str | None
    user_ref: str | None
    state: MailState
    attempts: int
    reason: str | None
    created_at: datetime
    sent_at: datetime | None


def queue(
    session: Session,
    template: str,
    *,
    recipient: str,
    user: User | None = None,
    link: Link | None = None,
    **context: Any,
) -> bool:
    """Queue a mail in the caller's write transaction: it is sent if and only if that commits.

    ``context`` is kept in the database: JSON, and nothing secret; what ``link`` opens is written into the text when
    it is sent. False when this address has had five of ``template`` within the hour: then nothing is queued.
    Raises ValueError for a template that there is not.
    """
    if template not in TEMPLATES:
        raise ValueError(f"no mail {template!r}; there are {', '.join(sorted(TEMPLATES))}")
    session.flush()
    _take_turn(session, f"{template} {recipient.lower()}")
    if _within_the_hour(session, template, recipient) >= MOST_AN_HOUR:
        return False
    mail = Mail(
        template=template,
        recipient=recipient,
        user_id=user.id if user else None,
        link_id=link.id if link else None,
        context=context,
        created_at=utc_now(),
    )
    session.add(mail)
    session.flush()
    _enqueue(session, mail)
    return True


def recent(state: str | None = None, before_id: int | None = None, limit: int = 50) -> list[MailView]:
    """The newest mails, of one state if asked; ``before_id`` is the last of the page before."""
    wanted = select(Mail, User.ref).outerjoin(User, User.id == Mail.user_id)
    if state is not None:
        wanted = wanted.where(Mail.state == state)
    wanted = newest_first(wanted, Mail.id, before_id, limit)
    with db.read() as session:
        return [_view(mail, ref) for mail, ref in session.execute(wanted)]


def retry(session: Session, mail_id: int) -> bool:
    """Queue a failed mail once more in the caller's transaction, with all its attempts; False when none has failed."""
    failed = select(Mail).where(Mail.id == mail_id, Mail.state == MailState.FAILED.value).with_for_update()
    mail = session.scalars(failed).first()
    if mail is None or is_withdrawn(mail):
        return False
    mail.state, mail.attempts, mail.reason = MailState.PENDING.value, 0, None
    session.flush()
    _enqueue(session, mail)
    return True


def pending_count() -> int:
    """How many mails wait to be sent; for the scrape. Raises DatabaseDownError, DatabaseBusyError."""
    with db.read() as session:
        return session.scalar(select(func.count()).where(Mail.state == MailState.PENDING.value)) or 0


def _enqueue(session: Session, mail: Mail) -> None:
    jobs.enqueue(session, KIND, {"mail": mail.id}, unique_key=job_key(mail.id), max_attempts=ATTEMPTS)


def _take_turn(session: Session, name: str) -> None:
    """On PostgreSQL, where writers run side by side, wait for whoever queues the same mail: the count is then true."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def _within_the_hour(session: Session, template: str, recipient: str) -> int:
    counted = select(func.count()).where(
        Mail.state.in_([state.value for state in MailState]),  # all there are: this is what the index begins with
        Mail.created_at > utc_now() - WINDOW,
        Mail.template == template,
        or_(func.lower(Mail.recipient) == func.lower(recipient), Mail.recipient == stand_in(recipient)),
    )
    return session.scalar(counted) or 0


def _view(mail: Mail, ref: str | None) -> MailView:
    return MailView(
        id=mail.id,
        template=mail.template,
        recipient=None if is_withdrawn(mail) else mail.recipient,
        user_ref=ref,
        state=MailState(mail.state),
        attempts=mail.attempts,
        reason=mail.reason,
        created_at=mail.created_at,
        sent_at=mail.sent_at,
    )
