"""Complimentary premium, given and taken back by an admin or the command line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.errors import ConflictError, InvalidError
from church.extensions import db
from church.models import Grant, User
from church.models.base import utc_now
from church.services import audit
from church.services.audit import Actor

_LONGEST_REASON = 200


@dataclass(frozen=True)
class GrantView:
    """One gift, for the page of its member."""

    id: int
    until: datetime
    reason: str
    created_at: datetime
    revoked_at: datetime | None
    open: bool
    """Whether it gives premium right now."""


def grant(user_ref: str, until: datetime, reason: str, actor: Actor) -> int:
    """Give premium until a time to come; the number of the grant.

    Raises LookupError for nobody, InvalidError for a time that is over, ConflictError for a deleted account.
    """
    if until <= utc_now():
        raise InvalidError("A complimentary membership has to end at a time to come.")
    with db.write() as session:
        user = _user(session, user_ref)
        if user.deleted_at is not None:
            raise ConflictError("This account is deleted.")
        row = Grant(
            user_id=user.id, granted_by=actor.user_id, reason=reason.strip()[:_LONGEST_REASON],
            created_at=utc_now(), until=until,
        )  # fmt: skip
        session.add(row)
        audit.record_by(session, "membership.granted", actor, subject_id=user.id, until=until.isoformat())
        session.flush()
        return row.id


def revoke(grant_id: int, actor: Actor) -> bool:
    """Take a grant back; False when that was done before. Raises LookupError where there is none."""
    with db.write() as session:
        row = session.get(Grant, grant_id)
        if row is None:
            raise LookupError(f"there is no grant {grant_id}")
        if row.revoked_at is not None:
            return False
        row.revoked_at = utc_now()
        audit.record_by(session, "membership.revoked", actor, subject_id=row.user_id, grant=grant_id)
        return True


def grants_of(user_ref: str) -> list[GrantView]:
    """A member's grants, the newest first. Raises LookupError for nobody."""
    now = utc_now()
    with db.read() as session:
        user = _user(session, user_ref)
        found = session.scalars(select(Grant).where(Grant.user_id == user.id).order_by(Grant.id.desc())).all()
    return [
        GrantView(
            row.id, row.until, row.reason, row.created_at, row.revoked_at, row.revoked_at is None and now < row.until
        )
        for row in found
    ]


def _user(session: Session, ref: str) -> User:
    user = session.scalars(select(User).where(User.ref == ref)).one_or_none()
    if user is None:
        raise LookupError(f"there is no member {ref}")
    return user
