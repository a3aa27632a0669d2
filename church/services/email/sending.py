"""Background jobs that send an email and that clean up old emails.

The attempt is stored before sending and its result after it. If the process dies in between, the email is sent again
with the same Message-ID.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

from sqlalchemy import ColumnElement, String, TextClause, cast, exists, literal, not_, or_, update
from sqlalchemy.orm import Session

from church import jobs
from church.config import Settings, current_settings
from church.database.batches import delete_in_batches, find_in_batches
from church.database.upsert import count_rows
from church.extensions import db
from church.models.accounts import Link, User
from church.models.base import utc_now
from church.models.jobs import PENDING_ONLY, Job, JobState, Mail, MailState
from church.services.email import outbox_folder, smtp
from church.services.email.cancel_queued import is_cancelled, remove_cancelled
from church.services.email.compose import LINKED, EmailToSend, compose_message
from church.services.email.errors import MailDeferredError, MailRefusedError

KIND = "mails.send"
# With the queue's pauses (5 s, doubled each time to an hour) the last attempt is about six hours after the first.
ATTEMPTS = 16
KEEP_SENT = timedelta(days=30)
KEEP_FAILED = timedelta(days=90)
_LONGEST_REASON = 300

log = logging.getLogger("church.mail")


def job_key(mail_id: int | str) -> str:
    """Return the unique key of the job that sends this email."""
    return f"{KIND}:{mail_id}"


@jobs.handler(KIND)
def send(payload: dict[str, Any]) -> None:
    """Send one email, unless it was sent before or its account was deleted. Raises MailDeferredError to try again."""
    letter = _claim(int(payload["mail"]))
    if letter is None:
        return
    try:
        _transport(current_settings())(letter, compose_message(letter))
    except MailRefusedError as error:
        _settle(letter, MailState.FAILED, str(error))
    except MailDeferredError as error:
        _settle(letter, MailState.PENDING, str(error))
        raise
    else:
        _settle(letter, MailState.SENT)


def _transport(site: Settings) -> Callable[[EmailToSend, EmailMessage], None]:
    if site.smtp_url is None:
        return lambda letter, message: outbox_folder.store_email(site, letter, message)
    return lambda letter, message: smtp.deliver(site, letter.recipient, message)


def _claim(mail_id: int) -> EmailToSend | None:
    """Count an attempt and load the rows to compose the email from; None if there is nothing to send."""
    with db.write() as session:
        mail = session.get(Mail, mail_id, with_for_update=True)
        if mail is None or mail.state == MailState.SENT or is_cancelled(mail):
            return None
        link = session.get(Link, mail.link_id) if mail.link_id else None
        if mail.template in LINKED and (link is None or link.expires_at <= utc_now()):
            mail.state, mail.reason = MailState.FAILED.value, "link expired before the email was sent"
            return None
        if link is not None and link.used_at is not None:
            session.delete(mail)  # used, or replaced by the link of a newer email
            return None
        # A failed email comes here when an admin has queued its job again.
        mail.attempts = 1 if mail.state == MailState.FAILED else mail.attempts + 1
        mail.state = MailState.PENDING.value
        return EmailToSend(
            mail.id, mail.template, mail.recipient, _name(session, mail), mail.context, link, mail.created_at
        )


def _name(session: Session, mail: Mail) -> str:
    """The name to greet, empty until the address is verified: a stranger may have chosen a name that advertises."""
    if name := mail.context.get("name"):
        return str(name)
    user = session.get(User, mail.user_id) if mail.user_id else None
    trusted = user is not None and (user.verified_at is not None or mail.template == "invited")
    return user.name if user is not None and trusted else ""


def _settle(letter: EmailToSend, state: MailState, reason: str | None = None) -> None:
    """Store the result; an email with no attempts left has failed."""
    reason = reason[:_LONGEST_REASON] if reason else None
    with db.write() as session:
        mail = session.get(Mail, letter.id, with_for_update=True)
        if mail is None:
            return
        if state is MailState.PENDING and (mail.attempts >= ATTEMPTS or is_cancelled(mail)):
            state = MailState.FAILED  # cancelled while it was being sent: do not try again
        mail.state, mail.reason = state.value, reason
        mail.sent_at = utc_now() if state is MailState.SENT else None
        attempts = mail.attempts
    outcome = {MailState.SENT: "sent", MailState.FAILED: "failed", MailState.PENDING: "deferred"}[state]
    facts = {"mail_id": letter.id, "template": letter.template, "attempt": attempts, "reason": reason}
    level = {MailState.SENT: logging.INFO, MailState.FAILED: logging.ERROR}.get(state, logging.WARNING)
    log.log(level, "email %s", outcome, extra={"event": f"mail.{outcome}", **facts})


@jobs.every(timedelta(hours=1), "mails.tidy")
def clean_up(_payload: dict[str, Any]) -> None:
    """Remove old emails, and mark pending ones without a job as failed: their process died at the last attempt."""
    now = utc_now()
    for state, kept in ((MailState.SENT, KEEP_SENT), (MailState.FAILED, KEEP_FAILED)):
        old = [Mail.state == state.value, Mail.created_at < now - kept]
        delete_in_batches(db, Mail.id, along=Mail.created_at, within=old)
    remove_cancelled()
    lost = _give_up_lost()
    if lost:
        log.error("emails without a job marked as failed", extra={"event": "mail.lost", "count": lost})


def _give_up_lost() -> int:
    """Mark pending emails without a job as failed. Returns how many."""
    pending = Mail.state == MailState.PENDING.value
    without_job = not_(or_(_has_job(PENDING_ONLY), _has_job(Job.state == JobState.RUNNING.value)))
    given_up = {"state": MailState.FAILED.value, "reason": "job ended without sending it"}
    lost = 0
    for ids in find_in_batches(db, Mail.id, without_job, along=Mail.created_at, within=[pending]):
        giving_up = update(Mail).where(Mail.id.in_(ids), pending, without_job).values(given_up)
        with db.write() as session:
            lost += count_rows(session.execute(giving_up.execution_options(synchronize_session=False)))
    return lost


def _has_job(state: ColumnElement[bool] | TextClause) -> ColumnElement[bool]:
    """Whether an email has a job in ``state``, looked up by the job's key."""
    key = literal(job_key("")) + cast(Mail.id, String)
    return exists().where(Job.unique_key == key, state)
