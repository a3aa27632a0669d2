"""Complimentary memberships as admins see them: of one member, or all of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, case, func, select
from sqlalchemy.orm import aliased

from church.extensions import db
from church.models import Grant, User
from church.models.base import utc_now
from church.services.audit import Person

_MOST = 200


class GrantState(StrEnum):
    """How a grant stands; each is in exactly one of these states."""

    OPEN = "open"
    ENDED = "ended"
    REVOKED = "revoked"


@dataclass(frozen=True)
class GrantView:
    """One gift: to whom, by whom (None for the command line), until when and why."""

    id: int
    member: Person
    given_by: Person | None
    until: datetime
    reason: str
    state: GrantState
    created_at: datetime
    revoked_at: datetime | None


def list_grants(
    *, state: GrantState | None = None, user_ref: str | None = None, before_id: int | None = None, limit: int = 50
) -> list[GrantView]:
    """Grants, the newest first; ``before_id`` is the last one of the page before."""
    now = utc_now()
    member, giver = aliased(User), aliased(User)
    query = (
        select(Grant, member.ref, member.name, giver.ref, giver.name)
        .join(member, member.id == Grant.user_id)
        .outerjoin(giver, giver.id == Grant.granted_by)
    )
    if state is not None:
        query = query.where(_in_state(state, now))
    if user_ref is not None:
        query = query.where(member.ref == user_ref)
    if before_id is not None:
        query = query.where(Grant.id < before_id)
    with db.read() as session:
        found = session.execute(query.order_by(Grant.id.desc()).limit(min(limit, _MOST))).all()
    return [_view(row[0], Person(*row[1:3]), Person(*row[3:5]) if row[3] else None, now) for row in found]


def grant_counts() -> dict[GrantState, int]:
    """How many grants are in each state."""
    now = utc_now()
    state = case(
        (_in_state(GrantState.OPEN, now), GrantState.OPEN.value),
        (_in_state(GrantState.ENDED, now), GrantState.ENDED.value),
        else_=GrantState.REVOKED.value,
    ).label("state")
    with db.read() as session:
        found = session.execute(select(state, func.count()).group_by(state)).all()
    counted: dict[str, int] = {word: count for word, count in found}  # noqa: C416 - rows are no pairs to the checker
    return {one: counted.get(one.value, 0) for one in GrantState}


def _in_state(state: GrantState, now: datetime) -> ColumnElement[bool]:
    kept = Grant.revoked_at.is_(None)
    return {
        GrantState.OPEN: and_(kept, Grant.until > now),
        GrantState.ENDED: and_(kept, Grant.until <= now),
        GrantState.REVOKED: Grant.revoked_at.is_not(None),
    }[state]


def _view(row: Grant, member: Person, giver: Person | None, now: datetime) -> GrantView:
    return GrantView(row.id, member, giver, row.until, row.reason, _state(row, now), row.created_at, row.revoked_at)


def _state(row: Grant, now: datetime) -> GrantState:
    if row.revoked_at is not None:
        return GrantState.REVOKED
    return GrantState.OPEN if now < row.until else GrantState.ENDED
