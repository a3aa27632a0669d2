"""List accounts for admins, and decide each account's state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, exists, literal_column, select
from sqlalchemy.orm import Session

from church.database.kept_sums import SumName, read_sums
from church.database.paging import PAGE_SIZE, Place, find_day, make_page
from church.errors import NotFoundError
from church.models import Subscription
from church.models.accounts import Role, User
from church.models.base import plain
from church.models.billing import CURRENT_ONLY, CURRENT_STATUSES
from church.services.accounts import member_search

MAX_QUERY_LENGTH = 100  # characters


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


# -- the list ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MemberFilters:
    """Which accounts to list; all that are not deleted without a ``state``."""

    query: str = ""
    """A part of a name or an address, or the start of a ref."""
    role: Role | None = None
    state: MemberState | None = None
    subscriber: bool = False
    """Only members who have a subscription now."""


@dataclass(frozen=True)
class MemberPlace:
    """Where a page of the list begins: before or after an account, named by its ref, or with those of a day."""

    before: str | None = None
    after: str | None = None
    day: date | None = None
    size: int = PAGE_SIZE


ALL, NEWEST = MemberFilters(), MemberPlace()


@dataclass(frozen=True)
class MemberPage:
    """One page of accounts, newest first. ``older`` and ``newer`` are the refs by which the pages around it are found.

    ``beginnings`` is whether accounts with the words inside of name or address may be missing: among many accounts,
    short words are found at the beginning, and all words where the database lacks an index of parts.
    """

    members: list[MemberView]
    older: str | None
    newer: str | None
    beginnings: bool = False


def find_members(session: Session, filters: MemberFilters, place: MemberPlace) -> MemberPage:
    """Find the accounts that match all filters."""
    rare = _has_few_subscribers(session) if filters.subscriber else None
    query = plain(filters.query.strip())[:MAX_QUERY_LENGTH]
    search = member_search.MemberSearch(session, _conditions(filters, few=bool(rare)), query, rare=rare)
    found = make_page(search.find, _place_of(session, place))
    users = {user.id: user for user in session.scalars(select(User).where(User.id.in_(found)))}
    refs = [users[user_id].ref for user_id in found]
    return MemberPage(
        [view_of(users[user_id]) for user_id in found],
        refs[-1] if found.older is not None else None,
        (refs[0] if refs else place.before) if found.newer is not None else None,
        search.beginnings,
    )


def _place_of(session: Session, place: MemberPlace) -> Place:
    """Look up the accounts at which the page begins. One that does not exist counts as none."""
    if place.day is not None:
        return Place(before=find_day(session, User.id, User.created_at, place.day), size=place.size)
    before, after = (
        session.scalar(select(User.id).where(User.ref == ref)) if ref else None for ref in (place.before, place.after)
    )
    return Place(before=before, after=after, size=place.size)


def _has_few_subscribers(session: Session) -> bool:
    sums = read_sums(session, SumName.SUBSCRIPTIONS)
    current = (total.count for key, total in sums.items() if key.partition("/")[0] in CURRENT_STATUSES)
    return sum(current) <= member_search.WALKED


def _conditions(filters: MemberFilters, *, few: bool) -> list[ColumnElement[bool]]:
    """The SQL conditions. ``few`` subscribers are listed first; among many, each account is looked up."""
    conditions = [state_condition(filters.state) if filters.state is not None else User.deleted_at.is_(None)]
    if filters.role is not None:
        # As text and not as a parameter, which SQLite can't match with the partial index.
        conditions.append(User.role == literal_column(f"'{filters.role.value}'"))
    if filters.subscriber:
        current = select(Subscription.user_id).where(CURRENT_ONLY)
        theirs = exists().where(Subscription.user_id == User.id, CURRENT_ONLY)
        conditions.append(User.id.in_(current) if few else theirs)
    return conditions
