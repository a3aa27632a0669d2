"""Finding accounts: by a piece of their name or address, by the start of their ref, by role and by state."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from church.models.base import plain
from church.models.user import Role, User
from church.services.accounts.member_list import MemberState, MemberView, in_state, view_of

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
