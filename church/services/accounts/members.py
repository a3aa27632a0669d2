"""What admins and the command line do to the accounts of others. Each change writes its audit row with it.

Every function raises UnknownMemberError where no account has that ref, ConflictError where the account's state is
against it, and the database's own DatabaseDownError and DatabaseBusyError.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from church import telemetry
from church.errors import ConflictError
from church.extensions import db
from church.models.accounts import Purpose, Role, User
from church.models.base import utc_now
from church.services import audit, sessions
from church.services.accounts import find_account, member_list, validation
from church.services.accounts.member_list import MemberPage, MemberState, MemberView, UnknownMemberError, view_of
from church.services.audit import Actor, AuditView
from church.services.sessions import DeviceView

log = logging.getLogger("church.members")

__all__ = [
    "Dossier",
    "MemberPage",
    "MemberState",
    "MemberView",
    "UnknownMemberError",
    "create",
    "disable",
    "dossier",
    "enable",
    "end_sessions",
    "member",
    "search",
    "send_reset",
    "set_role",
]

_HISTORY = 10  # entries of the audit log beside an account


@dataclass(frozen=True)
class Dossier:
    """One account with the devices that are signed in to it and what was last done to it or by it."""

    member: MemberView
    devices: list[DeviceView]
    history: list[AuditView]


def search(query: str = "", role: Role | None = None, state: MemberState | None = None, page: int = 1) -> MemberPage:
    """Accounts by a piece of their name or address, or the start of their ref; newest first, 50 a page."""
    with db.read() as session:
        return member_list.find(session, query, role, state, page)


def member(ref: str) -> MemberView:
    """One account."""
    with db.read() as session:
        return view_of(_found(session, ref))


def dossier(ref: str) -> Dossier:
    """One account with all that an admin looks at before acting on it."""
    with db.read() as session:
        user = _found(session, ref)
    return Dossier(view_of(user), sessions.list_devices(user.id, None), audit.entries(subject_ref=ref, limit=_HISTORY))


def create(email: str, name: str, role: Role, actor: Actor) -> MemberView:
    """Make an account without a password; its owner is mailed a link to choose one, which verifies the address too.

    Raises InvalidError where the address or name is none, ConflictError where the address has an account.
    """
    address, name = validation.address(email), validation.display_name(name)
    with db.write() as session:
        user = find_account.add(session, address, name=name, source="cli", role=role)
        if user is None:
            raise ConflictError("This address already has an account.")
        audit.record_by(session, "member.created", actor, user.id, role=role.value)
        _mail_link(session, user)
    telemetry.track_registration("cli")
    return view_of(user)


def set_role(ref: str, role: Role, actor: Actor, *, own: bool = False) -> MemberView:
    """Promote or demote; ``own`` says that an admin means their own account. The last admin stays one."""
    promoted = role is Role.ADMIN
    with _change(ref, taking_from=None if promoted else actor, own=own) as (session, user):
        if user.role == role.value:
            return view_of(user)
        before, user.role = user.role, role.value
        audit.record_by(session, "member.promoted" if promoted else "member.demoted", actor, user.id, before=before)
    return _settled(user, "member.promoted" if promoted else "member.demoted")


def disable(ref: str, actor: Actor, *, own: bool = False) -> MemberView:
    """Shut the account and sign it out everywhere; ``own`` as in ``set_role``. The last admin stays."""
    with _change(ref, taking_from=actor, own=own) as (session, user):
        if user.disabled_at is not None:
            return view_of(user)
        user.disabled_at = utc_now()
        ended = sessions.end_all(session, user.id)
        audit.record_by(session, "member.disabled", actor, user.id, sessions=ended)
    return _settled(user, "member.disabled")


def enable(ref: str, actor: Actor) -> MemberView:
    """Open a disabled account again; its devices stay signed out."""
    with _change(ref) as (session, user):
        if user.disabled_at is None:
            return view_of(user)
        user.disabled_at = None
        audit.record_by(session, "member.enabled", actor, user.id)
    return _settled(user, "member.enabled")


def end_sessions(ref: str, actor: Actor) -> int:
    """Sign the account out everywhere; how many devices that were."""
    with _change(ref) as (session, user):
        ended = sessions.end_all(session, user.id)
        if ended:
            audit.record_by(session, "member.sessions_ended", actor, user.id, sessions=ended)
    _settled(user, "member.sessions_ended")
    return ended


def send_reset(ref: str, actor: Actor) -> None:
    """Mail the owner a link to choose a password; also a conflict where too many went there within the hour."""
    with _change(ref) as (session, user):
        if user.disabled_at is not None:
            raise ConflictError("This account is disabled. Enable it first.")
        _mail_link(session, user)
        audit.record_by(session, "member.reset_sent", actor, user.id)


def _found(session: Session, ref: str) -> User:
    user = session.scalars(select(User).where(User.ref == ref)).first()
    if user is None:
        raise UnknownMemberError(ref)
    return user


@contextmanager
def _change(ref: str, taking_from: Actor | None = None, own: bool = False) -> Iterator[tuple[Session, User]]:
    """The account, locked for a change. ``taking_from`` is who asks for one that may cost the site an admin.

    The admins are locked before the account: two changes that lock in one order never wait for each other in a ring.
    """
    with db.write() as session:
        user = _found(session, ref)
        if taking_from is not None:
            not_by_mistake(user, taking_from.user_id, own)
            keep_an_admin(session, user)
        session.refresh(user, with_for_update=True)
        if user.deleted_at is not None:
            raise ConflictError("This account is deleted.")
        yield session, user


def _mail_link(session: Session, user: User) -> None:
    """A link to choose a password. Raises ConflictError."""
    template = "invited" if user.password_hash is None else "reset"
    if not find_account.mail_link(session, template, Purpose.RESET, user):
        raise ConflictError("Too many of these emails were sent to this address in the last hour. Try again later.")


def _settled(user: User, action: str) -> MemberView:
    """After the commit: what this worker has kept of sign-ins is void, and the log says what was done."""
    sessions.forget_cached()
    log.info("account changed", extra={"event": action, "subject_ref": user.ref})
    return view_of(user)


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
