"""Cancel the emails of a deleted account: unsent ones are never sent, and recent ones still count for the hourly limit.

Without that, someone could register, delete the account and repeat, and make the site flood one address. So emails of
the last hour are kept for that hour, without account and link, and with a keyed hash instead of the address. The email
that confirms the deletion needs its address; it is removed after the same hour.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import and_, delete, or_, select
from sqlalchemy.orm import Session

from church.database.batches import delete_in_batches
from church.extensions import db
from church.lib.email_addresses import make_key
from church.models.base import utc_now
from church.models.jobs import Mail, MailState
from church.services.email.address_hash import hash_address

__all__ = ["WINDOW", "cancel_emails", "is_cancelled", "remove_cancelled", "replacement_address"]

WINDOW = timedelta(hours=1)
"""How long an email counts for the limit of its address."""
_LAST = "account_deleted"
_MARK = "withdrawn:"  # no @, so it can't be an address


def cancel_emails(session: Session, user_id: int) -> None:
    """Cancel the emails of an account, in the caller's write transaction: no pending one is sent after it."""
    own = Mail.user_id == user_id
    session.execute(delete(Mail).where(own, or_(Mail.attempts == 0, Mail.created_at <= utc_now() - WINDOW)))
    for mail in session.scalars(select(Mail).where(own).order_by(Mail.id).with_for_update()):
        if mail.state == MailState.PENDING:
            mail.state = MailState.FAILED.value
        mail.recipient, mail.reason = replacement_address(mail.recipient), "its account was deleted"
        mail.user_id, mail.link_id, mail.context = None, None, {}


def replacement_address(recipient: str) -> str:
    """Return the text that replaces the address of a cancelled email."""
    return _MARK + hash_address(make_key(recipient))


def is_cancelled(mail: Mail) -> bool:
    """Whether the email was cancelled and is only kept for the hourly limit."""
    return mail.recipient.startswith(_MARK)


def remove_cancelled() -> None:
    """Remove cancelled emails that no longer count, and sent or failed emails that confirmed a deletion."""
    confirmed = and_(Mail.template == _LAST, Mail.state != MailState.PENDING.value)
    removable = or_(Mail.recipient.startswith(_MARK), confirmed)
    without_account = [Mail.user_id.is_(None), Mail.created_at <= utc_now() - WINDOW]
    delete_in_batches(db, Mail.id, removable, within=without_account)
