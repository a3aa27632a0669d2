"""Manage the accounts of others, for admins and the command line. Each change writes an audit entry.

Every function raises UnknownMemberError if no account has that ref, ConflictError if the account's state forbids the
change, and DatabaseDownError and DatabaseBusyError.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from church import telemetry
from church.database.paging import Place
from church.errors import ConflictError
from church.extensions import db
from church.models.accounts import Purpose, Role, User
from church.models.base import utc_now
from church.services import audit, sessions
from church.services.accounts import find_account, member_list, validation
from church.services.accounts.member_list import (
    ALL,
    NEWEST,
    MemberFilters,
    MemberPage,
    MemberPlace,
    MemberState,
    MemberView,
    UnknownMemberError,
    view_of,
)
from church.services.audit import Actor, AuditView
from church.services.sessions import DeviceView

log = logging.getLogger("church.members")

__all__ = [
    "MemberDetails",
    "MemberFilters",
    "MemberPage",
    "MemberPlace",
    "MemberState",
    "MemberView",
    "UnknownMemberError",
    "create_account",
    "disable_account",
    "enable_account",
    "end_sessions",
    "load_account_details",
    "load_member",
    "search_accounts",
    "send_reset",
    "set_role",
]

LAST_ADMIN = (
    "This is the last admin who can sign in. Make someone else an admin first, or the site would have no admin."
)
OWN_ACCOUNT = (
    "This is your own account. You would lose the admin area at once. Tick the box to confirm, or ask another admin."
)
_HISTORY = Place(size=10)  # audit entries shown with an account


@dataclass(frozen=True)
class MemberDetails:
    """One account with its signed-in devices and its latest audit entries."""

    member: MemberView
    devices: list[DeviceView]
    history: list[AuditView]


def search_accounts(filters: MemberFilters = ALL, place: MemberPlace = NEWEST) -> MemberPage:
    """Find accounts by a part of their name or address, or the start of their ref; newest first, 50 a page."""
    with db.read() as session:
        return member_list.find_members(session, filters, place)


def load_member(ref: str) -> MemberView:
    """Load one account."""
    with db.read() as session:
        return view_of(_user_of(session, ref))


def load_account_details(ref: str) -> MemberDetails:
    """Load one account with its devices and audit entries."""
    with db.read() as session:
        user = _user_of(session, ref)
    return MemberDetails(
        view_of(user), sessions.list_devices(user.id, None), audit.list_entries(subject_ref=ref, place=_HISTORY)
    )


def create_account(email: str, name: str, role: Role, actor: Actor) -> MemberView:
    """Create an account without a password and email its owner a link to choose one, which also verifies the address.

    Raises InvalidError if the address or name is not valid, ConflictError if the address has an account.
    """
    address, name = validation.require_reachable(validation.parse_address(email)), validation.parse_name(name)
    with db.write() as session:
        user = find_account.create_account(session, address, name=name, source="cli", role=role)
        if user is None:
            raise ConflictError("This address already has an account.")
        audit.record_by(session, "member.created", actor, user.id, role=role.value)
        _mail_link(session, user)
    telemetry.track_registration("cli")
    return view_of(user)


def set_role(ref: str, role: Role, actor: Actor, *, own: bool = False) -> MemberView:
    """Make a member an admin, or an admin a member; the last admin stays one.

    ``own`` confirms that an admin means their own account.
    """
    promoted = role is Role.ADMIN
    with _change(ref, demoting=None if promoted else actor, own=own) as (session, user):
        if user.role == role.value:
            return view_of(user)
        before, user.role = user.role, role.value
        audit.record_by(session, "member.promoted" if promoted else "member.demoted", actor, user.id, before=before)
    return _finish(user, "member.promoted" if promoted else "member.demoted")


def disable_account(ref: str, actor: Actor, *, own: bool = False) -> MemberView:
    """Disable the account and sign it out everywhere; not the last admin. ``own`` as in ``set_role``."""
    with _change(ref, demoting=actor, own=own) as (session, user):
        if user.disabled_at is not None:
            return view_of(user)
        user.disabled_at = utc_now()
        ended = sessions.end_all(session, user.id)
        audit.record_by(session, "member.disabled", actor, user.id, sessions=ended)
    return _finish(user, "member.disabled")


def enable_account(ref: str, actor: Actor) -> MemberView:
    """Enable a disabled account; its devices stay signed out."""
    with _change(ref) as (session, user):
        if user.disabled_at is None:
            return view_of(user)
        user.disabled_at = None
        audit.record_by(session, "member.enabled", actor, user.id)
    return _finish(user, "member.enabled")


def end_sessions(ref: str, actor: Actor) -> int:
    """Sign the account out everywhere, and return the number of devices."""
    with _change(ref) as (session, user):
        ended = sessions.end_all(session, user.id)
        if ended:
            audit.record_by(session, "member.sessions_ended", actor, user.id, sessions=ended)
    _finish(user, "member.sessions_ended")
    return ended


def send_reset(ref: str, actor: Actor) -> None:
    """Email the owner a link to choose a password.

    It is also a conflict if too many were sent there within the hour, or if the mail server can't send there.
    """
    with db.read() as session:
        validation.require_reachable_account(_user_of(session, ref))
    with _change(ref) as (session, user):
        if user.disabled_at is not None:
            raise ConflictError("This account is disabled. Enable it first.")
        _mail_link(session, user)
        audit.record_by(session, "member.reset_sent", actor, user.id)


def _user_of(session: Session, ref: str) -> User:
    user = session.scalars(select(User).where(User.ref == ref)).first()
    if user is None:
        raise UnknownMemberError(ref)
    return user


@contextmanager
def _change(ref: str, demoting: Actor | None = None, own: bool = False) -> Iterator[tuple[Session, User]]:
    """Lock an account for a change. ``demoting`` is the actor if the change may cost the site an admin.

    The admins are locked before the account, everywhere in this order, so that two changes cannot deadlock.
    """
    with db.write() as session:
        user = _user_of(session, ref)
        if demoting is not None:
            require_own_confirmation(user, demoting.user_id, own)
            require_another_admin(session, user)
        session.refresh(user, with_for_update=True)
        if user.deleted_at is not None:
            raise ConflictError("This account is deleted.")
        yield session, user


def _mail_link(session: Session, user: User) -> None:
    """Email a link to choose a password. Raises ConflictError."""
    template = "invited" if user.password_hash is None else "reset"
    if not find_account.email_new_link(session, template, Purpose.RESET, user):
        raise ConflictError("Too many of these emails were sent to this address in the last hour. Try again later.")


def _finish(user: User, action: str) -> MemberView:
    """After the commit: drop cached sessions and log the change."""
    sessions.forget_cached()
    log.info("account changed", extra={"event": action, "subject_ref": user.ref})
    return view_of(user)


def require_another_admin(session: Session, user: User) -> None:
    """Refuse to lose the last admin; call it before ``user`` is demoted, disabled or deleted, in the same transaction.

    The rows of all admins are locked: if two demote each other at the same moment, the second waits, checks again and
    is refused. Admins who can't sign in or never verified their address do not count. Raises ConflictError.
    """
    usable = and_(
        User.role == Role.ADMIN.value,
        User.disabled_at.is_(None),
        User.deleted_at.is_(None),
        User.verified_at.is_not(None),
    )
    # Locked in the order of ids, so that two transactions cannot deadlock.
    admins = set(session.scalars(select(User.id).where(usable).order_by(User.id).with_for_update()))
    if admins == {user.id}:
        raise ConflictError(LAST_ADMIN)


def require_own_confirmation(user: User, actor_id: int | None, own: bool) -> None:
    """Refuse that admins lose their own admin area, unless ``own`` confirms it. Raises ConflictError."""
    if user.id == actor_id and not own:
        raise ConflictError(OWN_ACCOUNT)
