"""Rooms and messages as they leave the service, and messages as they travel between workers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from church.models import ChatMessage, User
from church.models.accounts import Role
from church.services.chat.markup import render


@dataclass(frozen=True)
class RoomView:
    """One room as a member finds it; ``head`` is the room's newest change."""

    id: int
    name: str
    title: str
    access: str
    head: int
    muted: bool = False
    """Whether the member may read here and not speak."""
    muted_until: datetime | None = None
    """None also where it lasts until an admin lifts it."""


@dataclass(frozen=True)
class MessageView:
    """A message in its present state. Of a deleted one, ``text`` and ``html`` are empty."""

    room: str
    id: int
    """Its number in the room, which is its order."""
    changed: int
    """The room's count at its last change: what "since" asks for."""
    from_ref: str
    from_name: str
    is_admin: bool
    text: str
    html: str
    """Safe as it is."""
    client_id: str | None
    """For its author alone: whoever sends it to others leaves it out."""
    at: datetime
    edited_at: datetime | None = None
    deleted: bool = False


@dataclass(frozen=True)
class RoomPage:
    """Messages as a page shows them, the oldest first; ``cursor`` is what to ask "since" to miss nothing after it."""

    room: RoomView
    messages: list[MessageView]
    cursor: int
    has_older: bool


def message_view(row: ChatMessage, room: str, ref: str, name: str, *, is_admin: bool) -> MessageView:
    """What is shown of a row."""
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


def view_by(row: ChatMessage, room: str, author: User) -> MessageView:
    """The same, by the author's row."""
    is_admin = author.role == Role.ADMIN.value and author.verified_at is not None
    return message_view(row, room, author.ref, author.name, is_admin=is_admin)


def shown_name(ref: str, name: str) -> str:
    """What others call a member: never the address."""
    return name or f"Member {ref[:4]}"


def encode(view: MessageView) -> str:
    """One line of JSON, for ``chat:<room>`` in the store."""
    facts = asdict(view)
    facts["at"] = view.at.isoformat()
    facts["edited_at"] = view.edited_at.isoformat() if view.edited_at is not None else None
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":"))


def decode(line: str) -> MessageView:
    """The view that ``encode`` wrote. Raises ValueError, TypeError or KeyError for anything else."""
    facts: dict[str, Any] = json.loads(line)
    facts["at"] = datetime.fromisoformat(facts["at"])
    facts["edited_at"] = datetime.fromisoformat(facts["edited_at"]) if facts["edited_at"] else None
    return MessageView(**facts)
