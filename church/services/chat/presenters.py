"""Views of rooms and messages, and the JSON form in which messages travel between workers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from church.models import ChatMessage, User
from church.models.accounts import Role
from church.services.chat.markup import render


@dataclass(frozen=True)
class OfferedRoom:
    """A room as visitors without access see it."""

    name: str
    title: str
    access: str


@dataclass(frozen=True)
class RoomView:
    """A room as one member sees it; ``head`` is the number of its newest change."""

    id: int
    name: str
    title: str
    access: str
    head: int
    muted: bool = False
    """Whether the member may only read here."""
    muted_until: datetime | None = None
    """None if not muted, or muted until an admin lifts it."""


@dataclass(frozen=True)
class MessageView:
    """A message in its current state. If it is deleted, ``text`` and ``html`` are empty."""

    room: str
    id: int
    """Number in the room; gives the order."""
    changed: int
    """Number of the message's last change in the room; a cursor for later changes."""
    from_ref: str
    from_name: str
    is_admin: bool
    text: str
    html: str
    """Safe HTML."""
    client_id: str | None
    """Only for the author; leave it out for others."""
    at: datetime
    edited_at: datetime | None = None
    deleted: bool = False


@dataclass(frozen=True)
class RoomPage:
    """A page of messages, oldest first; ``cursor`` is the number after which to list later changes."""

    room: RoomView
    messages: list[MessageView]
    cursor: int
    has_older: bool


def present_message(row: ChatMessage, room: str, ref: str, name: str, *, is_admin: bool) -> MessageView:
    """Make the view of a message row."""
    return MessageView(
        room=room,
        id=row.number,
        changed=row.changed,
        from_ref=ref,
        from_name=shown_name(ref, name),
        is_admin=is_admin,
        text=row.text,
        html=str(render(row.text)),
        client_id=row.client_id,
        at=row.created_at,
        edited_at=row.edited_at,
        deleted=row.deleted_at is not None,
    )


def present_new_message(
    room: str, number: int, ref: str, name: str, *, is_admin: bool, text: str, client_id: str | None, at: datetime
) -> MessageView:
    """Make the view of a message that was just stored with ``number``."""
    return MessageView(
        room=room,
        id=number,
        changed=number,
        from_ref=ref,
        from_name=shown_name(ref, name),
        is_admin=is_admin,
        text=text,
        html=str(render(text)),
        client_id=client_id,
        at=at,
    )


def present_message_by(row: ChatMessage, room: str, author: User) -> MessageView:
    """Make the view of a message row from its author's row."""
    is_admin = author.role == Role.ADMIN.value and author.verified_at is not None
    return present_message(row, room, author.ref, author.name, is_admin=is_admin)


def shown_name(ref: str, name: str) -> str:
    """Return the name that others see; never the email address."""
    return name or f"Member {ref[:4]}"


def encode_message(view: MessageView) -> str:
    """Write a view as one line of JSON, for the channel ``chat:<room>``."""
    edited_at = view.edited_at.isoformat() if view.edited_at is not None else None
    return _encode({**vars(view), "at": view.at.isoformat(), "edited_at": edited_at})


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def decode_message(line: str) -> MessageView:
    """Read a view from its JSON form. Raises ValueError, TypeError or KeyError for anything else."""
    facts: dict[str, Any] = json.loads(line)
    facts["at"] = datetime.fromisoformat(facts["at"])
    facts["edited_at"] = datetime.fromisoformat(facts["edited_at"]) if facts["edited_at"] else None
    return MessageView(**facts)
