"""What no change of an account may do: leave the site without an admin, or surprise the admin who makes it."""

from __future__ import annotations

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from church.errors import ConflictError
from church.models.user import Role, User

LAST_ADMIN = (
    "This is the last admin who can sign in. Make someone else an admin first, or the site would have no admin."
)
OWN_ACCOUNT = (
    "This is your own account. You would lose the admin area at once. Tick the box to confirm, or ask another admin."
)


def keep_an_admin(session: Session, user: User) -> None:
    """Call it before ``user`` is demoted, disabled or deleted, inside the same write. Raises ConflictError.

    The rows of all admins are locked: of two who demote each other at the same moment, the second one waits, looks
    again and is refused. Who can't sign in or has never verified an address is nobody to rely on.
    """
    able = and_(
        User.role == Role.ADMIN.value,
        User.disabled_at.is_(None),
        User.deleted_at.is_(None),
        User.verified_at.is_not(None),
    )
    # Locked by id, so that two of these never wait for each other in a ring.
    admins = set(session.scalars(select(User.id).where(able).order_by(User.id).with_for_update()))
    if admins == {user.id}:
        raise ConflictError(LAST_ADMIN)


def not_by_mistake(user: User, actor_id: int | None, own: bool) -> None:
    """Refuse what takes the admin area from the very admin who asks, unless they said ``own``. Raises ConflictError."""
    if user.id == actor_id and not own:
        raise ConflictError(OWN_ACCOUNT)
