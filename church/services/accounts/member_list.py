"""An account as admins see it: what is shown of its row, and the one word for how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from church.errors import ChurchError
from church.models.accounts import Role, User
from church.models.base import plain


class UnknownMemberError(ChurchError):
    """No account has this name."""

    status = 404

    def __init__(self, ref: str) -> None:
        super().__init__(f"There is no account {ref[:32]}.")


class MemberState(StrEnum):
    """How an account stands; each is in exactly one of these states."""

    ACTIVE = "active"
    UNVERIFIED = "unverified"
    DISABLED = "disabled"
    DELETED = "deleted"


@dataclass(frozen=True)
class MemberView:
    """One account: everything an admin may see of it, which is neither its password nor its number."""

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
        """What to call it: a deleted account has no name left."""
        return self.name or self.email or f"account {self.ref}"


def state_of(user: User) -> MemberState:
    """How the account stands; the gravest word wins."""
    if user.deleted_at is not None:
        return MemberState.DELETED
    if user.disabled_at is not None:
        return MemberState.DISABLED
    return MemberState.ACTIVE if user.verified_at is not None else MemberState.UNVERIFIED


def in_state(state: MemberState) -> ColumnElement[bool]:
    """The same question to the database."""
    there = User.deleted_at.is_(None)
    conditions = {
        MemberState.DELETED: User.deleted_at.is_not(None),
        MemberState.DISABLED: and_(there, User.disabled_at.is_not(None)),
        MemberState.ACTIVE: and_(there, User.disabled_at.is_(None), User.verified_at.is_not(None)),
        MemberState.UNVERIFIED: and_(there, User.disabled_at.is_(None), User.verified_at.is_(None)),
    }
    return conditions[state]


def view_of(user: User) -> MemberView:
    """What is shown of a row."""
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


PAGE_SIZE = 50
MOST_QUERY = 100
MOST_PAGE = 100_000


@dataclass(frozen=True)
class MemberPage:
    """One page of a list of accounts, newest first; ``page`` counts from 1 and is never past the last."""

    members: list[MemberView]
    total: int
    page: int
    pages: int


def find(session: Session, query: str, role: Role | None, state: MemberState | None, page: int) -> MemberPage:
    """The accounts that fit all of it. Without a state the deleted ones are left out: they are empty."""
    wanted = _conditions(plain(query.strip())[:MOST_QUERY], role, state)
    total = session.scalar(select(func.count()).select_from(User).where(*wanted)) or 0
    pages = max(1, -(-total // PAGE_SIZE))
    page = min(max(1, page), pages, MOST_PAGE)
    rows = (
        select(User)
        .where(*wanted)
        .order_by(User.created_at.desc(), User.id.desc())
        .limit(PAGE_SIZE)
        .offset((page - 1) * PAGE_SIZE)
    )
    return MemberPage([view_of(user) for user in session.scalars(rows)], total, page, pages)


def _conditions(query: str, role: Role | None, state: MemberState | None) -> list[ColumnElement[bool]]:
    conditions = [in_state(state) if state is not None else User.deleted_at.is_(None)]
    if role is not None:
        conditions.append(User.role == role.value)
    if query:
        conditions.append(_named(query))
    return conditions


def _named(query: str) -> ColumnElement[bool]:
    """``query`` as a piece of a name or an address, or the start of a ref; its % and _ are only characters.

    SQLite folds the case of ASCII alone, so a name is also looked for as it is commonly written.
    """
    spellings = {query, query.lower(), query.upper(), query.title()}
    return or_(
        User.email_key.contains(query.casefold(), autoescape=True),
        User.ref.startswith(query.lower(), autoescape=True),
        *(User.name.icontains(spelling, autoescape=True) for spelling in sorted(spellings)),
    )
