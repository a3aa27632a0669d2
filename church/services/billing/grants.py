"""Give members free premium until a date, and take it back."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.errors import ConflictError, FieldErrors, NotFoundError
from church.extensions import db
from church.models import Grant, User
from church.models.base import plain, utc_now
from church.services import audit, live_broadcast, sessions
from church.services.accounts import UnknownMemberError
from church.services.audit import Actor
from church.services.billing import emails

LONGEST_REASON = 200
LONGEST = timedelta(days=3653)
"""The furthest end of a grant: a later one is a typo in the year."""

log = logging.getLogger("church.stripe")


class UnknownGrantError(NotFoundError):
    """There is no grant with this id."""

    def __init__(self, grant_id: int) -> None:
        super().__init__(f"There is no complimentary premium {grant_id}.")


def end_of_day(text: str) -> datetime:
    """Return the last second, in UTC, of a day written as ``2027-05-31``. Raises FieldErrors for ``until``."""
    try:
        day = datetime.strptime(text.strip(), "%Y-%m-%d").date()
    except ValueError:
        raise FieldErrors({"until": "Enter a date such as 2027-05-31."}) from None
    return _last_second(day)


def grant_premium(user_ref: str, until: datetime, reason: str, actor: Actor) -> int:
    """Give a member premium until a future time. Returns the id of the grant.

    Raises FieldErrors for ``until`` and ``reason``, UnknownMemberError, ConflictError for a deleted account.
    """
    reason = " ".join(plain(reason).split())
    _check(until, reason)
    with db.write() as session:
        user = _lock_user(session, user_ref)
        if user.deleted_at is not None:
            raise ConflictError("This account is deleted.")
        row = Grant(user_id=user.id, granted_by=actor.user_id, reason=reason, created_at=utc_now(), until=until)
        session.add(row)
        session.flush()
        audit.record_by(session, "grant.given", actor, user.id, grant=row.id, until=until.date().isoformat())
        emails.queue_pass_given(session, row)
        live_broadcast.notify_membership_changed(session, user.id)
    _after_commit("grant.given", user)
    return row.id


def revoke_grant(grant_id: int, actor: Actor) -> str:
    """End a grant now. Returns the member's public ref.

    Raises UnknownGrantError, ConflictError for a grant that has ended.
    """
    with db.write() as session:
        row = session.get(Grant, grant_id, with_for_update=True)
        if row is None:
            raise UnknownGrantError(grant_id)
        if row.revoked_at is not None or row.until <= utc_now():
            raise ConflictError(f"Complimentary premium {grant_id} has already ended.")
        row.revoked_at = utc_now()
        user = session.get_one(User, row.user_id)
        audit.record_by(session, "grant.revoked", actor, user.id, grant=grant_id)
        session.flush()
        emails.queue_pass_ended(session, row, row.revoked_at)
        live_broadcast.notify_membership_changed(session, user.id)
    _after_commit("grant.revoked", user)
    return user.ref


def _last_second(day: date) -> datetime:
    return datetime.combine(day, time(23, 59, 59), UTC)


def _check(until: datetime, reason: str) -> None:
    """Raise FieldErrors with all errors."""
    errors: dict[str, str] = {}
    now = utc_now()
    if until <= now:
        errors["until"] = "This date is in the past. Choose a later one."
    elif until > now + LONGEST:
        errors["until"] = "Choose a date within the next ten years."
    if not reason:
        errors["reason"] = "Enter a reason. The next admin will need it."
    elif len(reason) > LONGEST_REASON:
        errors["reason"] = f"Use at most {LONGEST_REASON} characters."
    if errors:
        raise FieldErrors(errors)


def _lock_user(session: Session, ref: str) -> User:
    """Lock and return the account, so that one being deleted right now gets no grant."""
    user = session.scalars(select(User).where(User.ref == plain(ref)).with_for_update()).one_or_none()
    if user is None:
        raise UnknownMemberError(ref)
    return user


def _after_commit(action: str, user: User) -> None:
    """Drop cached sessions, so that every worker sees the change."""
    sessions.forget_cached()
    log.info("free premium changed", extra={"event": action, "subject_ref": user.ref})
