"""An account as admins see it: what is shown of its row, and the one word for how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, and_

from church.errors import ChurchError
from church.models.user import User


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
