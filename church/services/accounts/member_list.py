"""List and search accounts for admins, and decide each account's state."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from church.errors import NotFoundError
from church.lib.email_addresses import make_key
from church.models.accounts import Role, User
from church.models.base import plain

PAGE_SIZE = 50
MAX_QUERY_LENGTH = 100  # characters
MAX_PAGE = 100_000


class UnknownMemberError(NotFoundError):
    """No account has this ref."""

    def __init__(self, ref: str) -> None:
        super().__init__(f"There is no account {ref[:32]}.")


class MemberState(StrEnum):
    """The state of an account; each is in exactly one."""

    ACTIVE = "active"
    UNVERIFIED = "unverified"
    DISABLED = "disabled"
    DELETED = "deleted"


@dataclass(frozen=True)
class MemberView:
    """Everything an admin may see of an account: not its password hash, and not its database id."""

    ref: str
    name: str
    email: str | None
    role: str
    state: MemberState
    source: str
    has_password: bool
    created_at: datetime
    verified_at: datetime | None
    disabled_at: datetime | None
    deleted_at: datetime | None
    password_changed_at: datetime | None

    @property
    def label(self) -> str:
        """Its name or address; a deleted account has neither, so its ref."""
        return self.name or self.email or f"account {self.ref}"


def state_of(user: User) -> MemberState:
    """Return the state of an account: deleted before disabled before unverified."""
    if user.deleted_at is not None:
        return MemberState.DELETED
    if user.disabled_at is not None:
        return MemberState.DISABLED
    return MemberState.ACTIVE if user.verified_at is not None else MemberState.UNVERIFIED


def state_condition(state: MemberState) -> ColumnElement[bool]:
    """The SQL condition for ``state_of``."""
    not_deleted = User.deleted_at.is_(None)
    conditions = {
        MemberState.DELETED: User.deleted_at.is_not(None),
        MemberState.DISABLED: and_(not_deleted, User.disabled_at.is_not(None)),
        MemberState.ACTIVE: and_(not_deleted, User.disabled_at.is_(None), User.verified_at.is_not(None)),
        MemberState.UNVERIFIED: and_(not_deleted, User.disabled_at.is_(None), User.verified_at.is_(None)),
    }
    return conditions[state]


def view_of(user: User) -> MemberView:
    """Convert a row for display."""
    return MemberView(
        ref=user.ref,
        name=user.name,
        email=user.email,
        role=user.role,
        state=state_of(user),
        source=user.source,
        has_password=user.password_hash is not None,
        created_at=user.created_at,
        verified_at=user.verified_at,
        disabled_at=user.disabled_at,
        deleted_at=user.deleted_at,
        password_changed_at=user.password_changed_at,
    )


# -- search -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MemberPage:
    """One page of accounts, newest first; ``page`` counts from 1 and is never past the last."""

    members: list[MemberView]
    total: int
    page: int
    pages: int


def find_members(session: Session, query: str, role: Role | None, state: MemberState | None, page: int) -> MemberPage:
    """Find the accounts that match all filters. Without a state, deleted accounts are left out."""
    conditions = _conditions(plain(query.strip())[:MAX_QUERY_LENGTH], role, state)
    total = session.scalar(select(func.count()).select_from(User).where(*conditions)) or 0
    pages = max(1, -(-total // PAGE_SIZE))
    page = min(max(1, page), pages, MAX_PAGE)
    rows = (
        select(User)
        .where(*conditions)
        .order_by(User.created_at.desc(), User.id.desc())
        .limit(PAGE_SIZE)
        .offset((page - 1) * PAGE_SIZE)
    )
    return MemberPage([view_of(user) for user in session.scalars(rows)], total, page, pages)


def _conditions(query: str, role: Role | None, state: MemberState | None) -> list[ColumnElement[bool]]:
    conditions = [state_condition(state) if state is not None else User.deleted_at.is_(None)]
    if role is not None:
        conditions.append(User.role == role.value)
    if query:
        conditions.append(_matches(query))
    return conditions


def _matches(query: str) -> ColumnElement[bool]:
    """Match a part of a name or an address, or the start of a ref; % and _ are ordinary characters.

    SQLite ignores case for ASCII only, so names are also searched in lower, upper and title case. A domain is found as
    it is shown (``bücher``) and as it is sent (``xn--bcher-kva``).
    """
    query = unicodedata.normalize("NFC", query)
    spellings = {query, query.lower(), query.upper(), query.title()}
    keys = {query.lower(), make_key(query)}
    return or_(
        *(User.email_key.contains(key, autoescape=True) for key in sorted(keys)),
        User.email.icontains(query, autoescape=True),
        User.ref.startswith(query.lower(), autoescape=True),
        *(User.name.icontains(spelling, autoescape=True) for spelling in sorted(spellings)),
    )
