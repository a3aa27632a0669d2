"""Chat rooms: which exist, who may enter them, who may write in them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BindParameter, ColumnElement, bindparam, or_, select
from sqlalchemy.orm import Session

from church.extensions import db
from church.models import ChatRoom, ChatSanction
from church.models.base import utc_now
from church.models.chat import RoomAccess, SanctionKind
from church.services.chat.errors import BannedError, ClosedRoomError, MutedError, UnknownRoomError
from church.services.chat.presenters import OfferedRoom, RoomView
from church.services.sessions import SignedIn

_CLOSED = {
    RoomAccess.MEMBERS: "Confirm your email address first. The link is in our email.",
    RoomAccess.PREMIUM: "This room is for subscribers.",
    RoomAccess.ADMINS: "This room is for admins.",
}


class RoomFacts(NamedTuple):
    """What a room's row says."""

    id: int
    name: str
    title: str
    access: str
    last_number: int


class SanctionFacts(NamedTuple):
    """A sanction in force; ``room_id`` is None if it covers every room."""

    kind: str
    room_id: int | None
    until: datetime | None
    created_at: datetime


def list_rooms(signed_in: SignedIn) -> list[RoomView]:
    """List the rooms that the member may enter, in display order."""
    with db.read() as session:
        own = list_sanctions_in_force(session, signed_in.user_id)
        rooms = session.scalars(select(ChatRoom).order_by(ChatRoom.id)).all()
    return [_view(room, own) for room in rooms if is_room_open(room.access, signed_in) and not _ban(own, room.id)]


def load_open_room(signed_in: SignedIn, room: str) -> RoomView:
    """Load a room that the member may enter. Raises UnknownRoomError, ClosedRoomError and BannedError."""
    with db.read() as session:
        return load_open_room_in(session, signed_in, room)


def load_open_room_in(session: Session, signed_in: SignedIn, name: str) -> RoomView:
    """Load a room that the member may enter, in the caller's session.

    Raises UnknownRoomError, ClosedRoomError and BannedError.
    """
    room = find_room(session, name)
    return check_open(room, signed_in, list_sanctions_in_force(session, signed_in.user_id))


def check_open(room: ChatRoom | RoomFacts, signed_in: SignedIn, own: Sequence[SanctionFacts]) -> RoomView:
    """Return the view of a room that the member, who has these sanctions, may enter.

    Raises ClosedRoomError and BannedError.
    """
    if not is_room_open(room.access, signed_in):
        raise ClosedRoomError(_CLOSED.get(RoomAccess(room.access)))
    return _check_not_banned(room, own)


def find_offered_room(name: str) -> OfferedRoom | None:
    """Find a room that a visitor can get access to: not one for admins, and not one that does not exist."""
    with db.read() as session:
        room = session.scalars(_NAMED, {"name": name}).one_or_none()
    if room is None or room.access not in {RoomAccess.MEMBERS, RoomAccess.PREMIUM}:
        return None
    return OfferedRoom(room.name, room.title, room.access)


def check_not_banned(session: Session, room: ChatRoom, user_id: int) -> RoomView:
    """Return the view of a room from which the member is not banned. Raises BannedError."""
    return _check_not_banned(room, list_sanctions_in_force(session, user_id))


def _check_not_banned(room: ChatRoom | RoomFacts, own: Sequence[SanctionFacts]) -> RoomView:
    if ban := _ban(own, room.id):
        raise BannedError(f"An admin has banned you from this room{_until(ban.until)}.")
    return _view(room, own)


def find_room(session: Session, name: str) -> ChatRoom:
    """Load a room's row by name. Raises UnknownRoomError."""
    room = session.scalars(_NAMED, {"name": name}).one_or_none()
    if room is None:
        raise UnknownRoomError
    return room


def is_room_open(access: str, signed_in: SignedIn) -> bool:
    """Whether a room with this ``access`` is open to the member; all are to admins. An unknown ``access`` is closed."""
    if signed_in.is_admin:
        return access in set(RoomAccess)
    if access == RoomAccess.MEMBERS:
        return signed_in.is_member
    if access == RoomAccess.PREMIUM:
        return signed_in.is_member and signed_in.premium
    return False


def list_newest_changes() -> dict[str, int]:
    """Return the number of each room's newest change, by room name."""
    with db.read() as session:
        return {room.name: room.last_number for room in session.scalars(select(ChatRoom))}


def list_banned_rooms(user_ids: Collection[int]) -> dict[int, frozenset[str]]:
    """Return the rooms from which these members are banned, by user id; members without a ban are left out."""
    if not user_ids:
        return {}
    bans = select(ChatSanction.user_id, ChatSanction.room_id).where(
        ChatSanction.user_id.in_(user_ids), ChatSanction.kind == SanctionKind.BAN.value, *in_force_conditions(utc_now())
    )
    with db.read() as session:
        rows = session.execute(bans).all()
        names = {room.id: room.name for room in session.scalars(select(ChatRoom))} if rows else {}
    closed: dict[int, set[str]] = {}
    for user_id, room_id in rows:
        closed.setdefault(user_id, set()).update(names.values() if room_id is None else {names[room_id]})
    return {user_id: frozenset(rooms) for user_id, rooms in closed.items()}


def check_not_muted(room: RoomView) -> None:
    """Raise MutedError if the member may not write in the room."""
    if room.muted:
        raise MutedError(f"An admin has muted you here{_until(room.muted_until)}.")


def list_sanctions_in_force(session: Session, user_id: int) -> list[SanctionFacts]:
    """List the sanctions in force against the member."""
    return [SanctionFacts(*row) for row in session.execute(_SANCTIONS, {"user_id": user_id, "now": utc_now()})]


def in_force_conditions(now: datetime | BindParameter[datetime]) -> tuple[ColumnElement[bool], ...]:
    """SQL conditions for a sanction in force: neither lifted nor over."""
    return ChatSanction.lifted_at.is_(None), or_(ChatSanction.until.is_(None), ChatSanction.until > now)


# Built once: these run for every message, and building a statement costs as much as running it.
_NAMED = select(ChatRoom).where(ChatRoom.name == bindparam("name"))
_SANCTIONS = select(ChatSanction.kind, ChatSanction.room_id, ChatSanction.until, ChatSanction.created_at).where(
    ChatSanction.user_id == bindparam("user_id"), *in_force_conditions(bindparam("now"))
)


def _view(room: ChatRoom | RoomFacts, own: Sequence[SanctionFacts]) -> RoomView:
    mute = _longest(own, SanctionKind.MUTE, room.id)
    return RoomView(
        id=room.id,
        name=room.name,
        title=room.title,
        access=room.access,
        head=room.last_number,
        muted=mute is not None,
        muted_until=mute.until if mute is not None else None,
    )


def _ban(own: Sequence[SanctionFacts], room_id: int) -> SanctionFacts | None:
    return _longest(own, SanctionKind.BAN, room_id)


def _longest(own: Sequence[SanctionFacts], kind: SanctionKind, room_id: int) -> SanctionFacts | None:
    """Return the sanction of this kind in the room that lasts longest."""
    here = [one for one in own if one.kind == kind and one.room_id in {None, room_id}]
    return max(here, key=lambda one: (one.until is None, one.until or one.created_at), default=None)


def _until(until: datetime | None) -> str:
    return f" until {until:%Y-%m-%d %H:%M} UTC" if until is not None else ""
