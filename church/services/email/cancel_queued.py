"""Mails of an account that is deleted: what has not left is never sent, and what may have left still counts.

Whoever could make the site forget its mails by deleting an account could have it write to one address without end.
So those of the last hour stay that long, without the account, the link and the address: a keyed hash stands for it.
The one mail that tells of the end has to have the address; it stays no longer than they.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import and_, delete, or_, select
from sqlalchemy.orm import Session

from church.models.base import utc_now
from church.models.jobs import Mail, MailState
from church.services.email.address_hash import hash_address

__all__ = ["WINDOW", "forget_withdrawn", "is_withdrawn", "stand_in", "withdraw"]

WINDOW = timedelta(hours=1)
"""For how long a mail counts against those that its address may still get."""
_LAST = "account_deleted"
_MARK = "withdrawn:"  # no address: it has no @


def withdraw(session: Session, user_id: int) -> None:
    """Take back the mails of an account in the caller's write transaction; none that waits is sent after it."""
    mine = Mail.user_id == user_id
    session.execute(delete(Mail).where(mine, or_(Mail.attempts == 0, Mail.created_at <= utc_now() - WINDOW)))
    for mail in session.scalars(select(Mail).where(mine).order_by(Mail.id).with_for_update()):
        if mail.state == MailState.PENDING:
            mail.state = MailState.FAILED.value
        mail.recipient, mail.reason = stand_in(mail.recipient), "its account was deleted"
        mail.user_id, mail.link_id, mail.context = None, None, {}


def stand_in(recipient: str) -> str:
    """What a withdrawn mail has for its address."""
    return _MARK + hash_address(recipient.casefold())


def is_withdrawn(mail: Mail) -> bool:
    """Whether the mail is only there to be counted."""
    return mail.recipient.startswith(_MARK)


def forget_withdrawn(session: Session) -> None:
    """Remove those that count no more, and the last mails to those who left, gone or failed."""
    told = and_(Mail.template == _LAST, Mail.state != MailState.PENDING.value)
    over = or_(Mail.recipient.startswith(_MARK), told)
    session.execute(delete(Mail).where(over, Mail.created_at <= utc_now() - WINDOW))
