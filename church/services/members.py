"""What admins and the command line do to the accounts of others. Each change writes its audit row with it.

Every function raises UnknownMemberError where no account has that ref, ConflictError where the account's state is
against it, and the database's own DatabaseDownError and DatabaseBusyError.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from church import telemetry
from church.errors import ConflictError
from church.extensions import db
from church.models.base import utc_now
from church.models.link import Purpose
from church.models.user import Role, User
from church.services import audit, links, mails, member_search, sessions
from church.services.audit import Actor, AuditView
from church.services.member_guard import keep_an_admin, not_by_mistake
from church.services.member_search import MemberPage
from church.services.member_views import MemberState, MemberView, UnknownMemberError, view_of
from church.services.sessions import DeviceView

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

log = logging.getLogger("church.members")


@dataclass(frozen=True)
class Dossier:
    """One account with the devices that are signed in to it and what was last done to it or by it."""

    member: MemberView
    devices: list[DeviceView]
    history: list[AuditView]


def search(query: str = "", role: Role | None = None, state: MemberState | None = None, page: int = 1) -> MemberPage:
    """Accounts by a piece of their name or address, or the start of their ref; newest first, 50 a page."""
    with db.read() as session:
        return member_search.find(session, query, role, state, page)


def member(ref: str) -> MemberView:
    """One account."""
    with db.read() as session:
        return view_of(_found(session, ref))


def dossier(ref: str) -> Dossier:
    """One account with all that an admin looks at before acting on it."""
    with db.read() as session:
        user = _found(session, ref)
    return Dossier(view_of(user), sessions.devices(user.id, None), audit.entries(subject_ref=ref, limit=20))


def create(email: str, name: str, role: Role, actor: Actor) -> MemberView:
    """Make an account without a password; its owner is mailed a link to choose one, which verifies the address too.

    Raises InvalidError where the address or name is none, ConflictError where the address has an account.
    """
    raise NotImplementedError


def set_role(ref: str, role: Role, actor: Actor, *, own: bool = False) -> MemberView:
    """Promote or demote; ``own`` says that an admin means their own account. The last admin stays one."""
    raise NotImplementedError


def disable(ref: str, actor: Actor, *, own: bool = False) -> MemberView:
    """Shut the account and sign it out everywhere; ``own`` as in ``set_role``. The last admin stays."""
    raise NotImplementedError


def enable(ref: str, actor: Actor) -> MemberView:
    """Open a disabled account again; its devices stay signed out."""
    raise NotImplementedError


def end_sessions(ref: str, actor: Actor) -> int:
    """Sign the account out everywhere; how many devices that were."""
    raise NotImplementedError


def send_reset(ref: str, actor: Actor) -> bool:
    """Mail the owner a link to choose a password; False where too many such mails went there within the hour."""
    raise NotImplementedError


def _found(session: Session, ref: str) -> User:
    user = session.scalars(select(User).where(User.ref == ref)).first()
    if user is None:
        raise UnknownMemberError(ref)
    return user
