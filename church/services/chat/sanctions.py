"""Mute and ban members, with a reason, an optional end, and an audit row each."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from church.database.paging import NEWEST, ListPage, Place, fetch_page
from church.errors import ConflictError, FieldErrors, NotFoundError
from church.extensions import db
from church.models import ChatRoom, ChatSanction, User
from church.models.accounts import Role
from church.models.base import plain, utc_now
from church.models.chat import SanctionKind
from church.services import audit, live_broadcast
from church.services.accounts import UnknownMemberError
from church.services.audit import Actor, Person
from church.services.chat import messages
from church.services.chat.rooms import find_room, in_force_conditions

CONTROL_CHANNEL = "chat:control"
"""Channel on which workers learn that a member's sanctions have changed: ``{"user": ref}``."""

log = logging.getLogger("church.live")


class UnknownSanctionError(NotFoundError):
    """No sanction has this number."""

    def __init__(self, sanction_id: int) -> None:
        super().__init__(f"There is no sanction {sanction_id}.")


@dataclass(frozen=True)
class SanctionView:
    """A sanction in force; ``room`` is None if it covers every room."""

    id: int
    kind: SanctionKind
    member: Person
    room: str | None
    until: datetime | None
    reason: str
    given_by: Person | None
    created_at: datetime


def mute_member(user_ref: str, room: str | None, until: datetime | None, reason: str, actor: Actor) -> int:
    """Mute a member: they may read, not write. Returns the sanction's id.

    ``room`` None is all rooms, ``until`` None is until an admin lifts it.
    Raises FieldErrors for ``until`` and ``reason``, UnknownMemberError, UnknownRoomError, ConflictError for an admin.
    """
    return _sanction(SanctionKind.MUTE, user_ref, room, until, reason, actor)


def ban_member(user_ref: str, room: str | None, until: datetime | None, reason: str, actor: Actor) -> int:
    """Ban a member from a room or from all; otherwise like muting."""
    return _sanction(SanctionKind.BAN, user_ref, room, until, reason, actor)


def lift_sanction(sanction_id: int, actor: Actor) -> str:
    """End a sanction at once; returns the member's ref.

    Raises UnknownSanctionError, and ConflictError if it has ended already.
    """
    with db.write() as session:
        row = session.get(ChatSanction, sanction_id, with_for_update=True)
        if row is None:
            raise UnknownSanctionError(sanction_id)
        if row.lifted_at is not None or (row.until is not None and row.until <= utc_now()):
            raise ConflictError(f"Sanction {sanction_id} has already ended.")
        row.lifted_at = utc_now()
        user = session.get_one(User, row.user_id)
        audit.record_by(session, f"chat.{row.kind}_lifted", actor, user.id, sanction=sanction_id)
    _announce(f"chat.{row.kind}_lifted", user.ref)
    return user.ref


def list_sanctions(user_ref: str | None = None, place: Place = NEWEST) -> ListPage[SanctionView]:
    """List the sanctions in force, newest first; with ``user_ref`` only that member's."""
    member, giver = aliased(User), aliased(User)
    query = (
        select(ChatSanction, ChatRoom.name, member, giver)
        .join(member, member.id == ChatSanction.user_id)
        .outerjoin(giver, giver.id == ChatSanction.given_by)
        .outerjoin(ChatRoom, ChatRoom.id == ChatSanction.room_id)
        .where(*in_force_conditions(utc_now()))
    )
    if user_ref is not None:
        query = query.where(member.ref == user_ref)
    with db.read() as session:
        found = fetch_page(session, query, ChatSanction.id, ChatSanction.created_at, place)
    return found.convert(lambda row: _view(*row))


def _view(row: ChatSanction, room: str | None, member: User, giver: User | None) -> SanctionView:
    return SanctionView(
        id=row.id,
        kind=SanctionKind(row.kind),
        member=Person(member.ref, member.name),
        room=room,
        until=row.until,
        reason=row.reason,
        given_by=Person(giver.ref, giver.name) if giver is not None else None,
        created_at=row.created_at,
    )


def _sanction(
    kind: SanctionKind, user_ref: str, room: str | None, until: datetime | None, reason: str, actor: Actor
) -> int:
    reason = messages.clean_reason(reason)
    _check(until, reason)
    with db.write() as session:
        user = _lock_member(session, user_ref)
        room_id = find_room(session, room).id if room is not None else None
        row = ChatSanction(
            user_id=user.id,
            kind=kind.value,
            room_id=room_id,
            until=until,
            reason=reason,
            given_by=actor.user_id,
            created_at=utc_now(),
        )
        session.add(row)
        session.flush()
        facts = {"sanction": row.id, "room": room, "until": until.isoformat() if until is not None else None}
        audit.record_by(session, f"chat.{kind.value}", actor, user.id, **facts)
    _announce(f"chat.{kind.value}", user.ref)
    return row.id


def _check(until: datetime | None, reason: str) -> None:
    errors: dict[str, str] = {}
    if until is not None and until <= utc_now():
        errors["until"] = "This time is in the past. Choose a later one."
    if not reason:
        errors["reason"] = "Enter a reason. The next admin will need it."
    if errors:
        raise FieldErrors(errors)


def _lock_member(session: Session, ref: str) -> User:
    """Load and lock the member. Raises ConflictError for an admin, who could lift it, and for a deleted account."""
    user = session.scalars(select(User).where(User.ref == plain(ref)).with_for_update()).one_or_none()
    if user is None:
        raise UnknownMemberError(ref)
    if user.deleted_at is not None:
        raise ConflictError("This account is deleted.")
    if user.role == Role.ADMIN.value:
        raise ConflictError("Admins cannot be muted or banned. Remove the admin role first.")
    return user


def _announce(action: str, user_ref: str) -> None:
    """After the commit: have the member's connections checked again, and log the action."""
    live_broadcast.publish(CONTROL_CHANNEL, json.dumps({"user": user_ref}))
    log.info("member moderated", extra={"event": action, "subject_ref": user_ref})
