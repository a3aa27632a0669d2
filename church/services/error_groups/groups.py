"""Groups of errors for the admin area, and how many are open for the overview."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from church.extensions import db
from church.models import ErrorGroup
from church.models.error_groups import ErrorState

MOST_LISTED = 200


@dataclass(frozen=True)
class GroupView:
    """A group of errors: what and where, when it occurred, and what an admin has decided."""

    fingerprint: str
    error_type: str
    place: str
    message: str
    state: ErrorState
    first_seen: datetime
    last_seen: datetime
    first_version: str
    last_version: str
    resolved_at: datetime | None
    came_back_at: datetime | None


def list_groups(state: ErrorState | None = ErrorState.OPEN, most: int = MOST_LISTED) -> list[GroupView]:
    """List the groups of one state or of all, those that occurred last first."""
    query = select(ErrorGroup).order_by(ErrorGroup.last_seen.desc(), ErrorGroup.fingerprint).limit(most)
    if state is not None:
        query = query.where(ErrorGroup.state == state.value)
    with db.read() as session:
        return [_view(group) for group in session.scalars(query)]


def find_groups(fingerprints: Collection[str]) -> dict[str, GroupView]:
    """The groups with these fingerprints, at most 200 of them."""
    wanted = sorted(set(fingerprints))[:MOST_LISTED]
    with db.read() as session:
        found = session.scalars(select(ErrorGroup).where(ErrorGroup.fingerprint.in_(wanted)))
        return {group.fingerprint: _view(group) for group in found}


def count_open_groups() -> int:
    """Count the groups that are open."""
    with db.read() as session:
        open_ones = select(func.count()).where(ErrorGroup.state == ErrorState.OPEN.value)
        return session.scalar(open_ones) or 0


def _view(group: ErrorGroup) -> GroupView:
    return GroupView(
        fingerprint=group.fingerprint,
        error_type=group.error_type,
        place=group.place,
        message=group.message,
        state=ErrorState(group.state),
        first_seen=group.first_seen,
        last_seen=group.last_seen,
        first_version=group.first_version,
        last_version=group.last_version,
        resolved_at=group.resolved_at,
        came_back_at=group.came_back_at,
    )
