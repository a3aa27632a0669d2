"""Queue emails in the transaction that causes them, and list them for admins.

The worker process sends them: ``sending`` is the job, ``compose`` makes the message, ``smtp`` or ``outbox_folder``
delivers it. Log lines and jobs contain an email's number, never its recipient.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from church import jobs
from church.database.named_locks import take_named_lock
from church.database.paging import NEWEST, ListPage, Place, fetch_page
from church.extensions import db
from church.lib.email_addresses import make_key
from church.models.accounts import Link, User
from church.models.base import utc_now
from church.models.jobs import Mail, MailState
from church.services.email.cancel_queued import WINDOW, cancel_emails, is_cancelled, replacement_address
from church.services.email.compose import TEMPLATES
from church.services.email.sending import ATTEMPTS, KIND, job_key

__all__ = [
    "MAX_PER_HOUR",
    "MailView",
    "cancel_emails",
    "count_pending_emails",
    "list_recent_emails",
    "queue_email",
    "retry_email",
]

# Emails of one template to one address; more would let a stranger use the site to flood an inbox.
MAX_PER_HOUR = 5


@dataclass(frozen=True)
class MailView:
    """An email for the admin area; ``reason`` is why the last attempt failed.

    ``recipient`` is None once the account is deleted: then the email is kept for the hourly limit only, and can't be
    sent again.
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


def queue_email(
    session: Session,
    template: str,
    *,
    recipient: str,
    user: User | None = None,
    link: Link | None = None,
    **context: Any,
) -> bool:
    """Queue an email in the caller's write transaction: it is sent if and only if that commits.

    Returns False, and queues nothing, if this address got five emails of ``template`` within the hour. ``context`` is
    stored in the database, so it must be JSON and contain no secret; the address of ``link`` is added to the text at
    sending time. Raises ValueError for an unknown template.
    """
    if template not in TEMPLATES:
        raise ValueError(f"no email template {template!r}; known are {', '.join(sorted(TEMPLATES))}")
    session.flush()
    take_named_lock(
        session, f"{template} {make_key(recipient)}"
    )  # one such email at a time, so that the count is right
    if _count_within_the_hour(session, template, recipient) >= MAX_PER_HOUR:
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


def list_recent_emails(state: str | None = None, place: Place = NEWEST) -> ListPage[MailView]:
    """List the emails, newest first, optionally of one state."""
    query = select(Mail, User.ref).outerjoin(User, User.id == Mail.user_id)
    if state is not None:
        query = query.where(Mail.state == state)
    with db.read() as session:
        return fetch_page(session, query, Mail.id, Mail.created_at, place).convert(lambda row: _view(*row))


def retry_email(session: Session, mail_id: int) -> bool:
    """Queue a failed email again, in the caller's transaction, with all its attempts; False if it has not failed."""
    failed = select(Mail).where(Mail.id == mail_id, Mail.state == MailState.FAILED.value).with_for_update()
    mail = session.scalars(failed).first()
    if mail is None or is_cancelled(mail):
        return False
    mail.state, mail.attempts, mail.reason = MailState.PENDING.value, 0, None
    session.flush()
    _enqueue(session, mail)
    return True


def count_pending_emails() -> int:
    """Count the emails that wait to be sent, for the scrape. Raises DatabaseDownError, DatabaseBusyError."""
    with db.read() as session:
        return session.scalar(select(func.count()).where(Mail.state == MailState.PENDING.value)) or 0


def _enqueue(session: Session, mail: Mail) -> None:
    jobs.enqueue(session, KIND, {"mail": mail.id}, unique_key=job_key(mail.id), max_attempts=ATTEMPTS)


def _count_within_the_hour(session: Session, template: str, recipient: str) -> int:
    counted = [
        Mail.state.in_([state.value for state in MailState]),  # every state: the index begins with this column
        Mail.created_at > utc_now() - WINDOW,
        Mail.template == template,
    ]
    mark = replacement_address(recipient)
    if recipient.isascii():
        same = or_(func.lower(Mail.recipient) == func.lower(recipient), Mail.recipient == mark)
        return session.scalar(select(func.count()).where(*counted, same)) or 0
    # SQLite's lower() knows ASCII alone, and a mailbox may be typed in several ways: compare the keys.
    key, domain = make_key(recipient), recipient.rpartition("@")[2].lower()
    near = or_(Mail.recipient.endswith(f"@{domain}", autoescape=True), Mail.recipient == mark)
    recipients = session.scalars(select(Mail.recipient).where(*counted, near))
    return sum(sent_to == mark or make_key(sent_to) == key for sent_to in recipients)


def _view(mail: Mail, ref: str | None) -> MailView:
    return MailView(
        id=mail.id,
        template=mail.template,
        recipient=None if is_cancelled(mail) else mail.recipient,
        user_ref=ref,
        state=MailState(mail.state),
        attempts=mail.attempts,
        reason=mail.reason,
        created_at=mail.created_at,
        sent_at=mail.sent_at,
    )
