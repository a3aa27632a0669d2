"""Chat data of an account: what its export contains, and what is deleted with the account."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from church.database import after_commit
from church.models import ChatMessage, ChatReport, ChatRoom, ChatSanction, User
from church.services.accounts import register_deletion, register_export
from church.services.chat.change_log import Change, erase_messages_of, publish_change

_MOST = 10_000  # newest entries of each list in an export


@register_export("live")
def _export(session: Session, user: User) -> dict[str, Any]:
    """Return the member's messages, reports and sanctions; not which admin gave a sanction."""
    names = {room.id: room.name for room in session.scalars(select(ChatRoom))}
    return {
        "messages": _messages(session, user, names),
        "reports": [
            {"at": row.created_at.isoformat(), "reason": row.reason}
            for row in session.scalars(
                select(ChatReport).where(ChatReport.user_id == user.id).order_by(ChatReport.id.desc()).limit(_MOST)
            )
        ],
        "sanctions": [
            {
                "kind": row.kind,
                "room": names.get(row.room_id) if row.room_id is not None else None,
                "reason": row.reason,
                "at": row.created_at.isoformat(),
                "until": row.until.isoformat() if row.until is not None else None,
            }
            for row in session.scalars(select(ChatSanction).where(ChatSanction.user_id == user.id))
        ],
    }


def _messages(session: Session, user: User, names: dict[int, str]) -> list[dict[str, Any]]:
    own = select(ChatMessage).where(ChatMessage.user_id == user.id, ChatMessage.deleted_at.is_(None))
    rows = session.scalars(own.order_by(ChatMessage.id.desc()).limit(_MOST))
    return [
        {
            "room": names[row.room_id],
            "number": row.number,
            "text": row.text,
            "at": row.created_at.isoformat(),
            "edited_at": row.edited_at.isoformat() if row.edited_at is not None else None,
        }
        for row in rows
    ]


@register_deletion
def forget_member(session: Session, user: User) -> None:
    """Delete the member's messages, sanctions, and the reports by them and about them.

    Each deleted message is a change of its room. Only the last of each room is published: workers then read the others.
    """
    # Before the reports: if two members who reported each other are deleted at once, the second waits here for the
    # first, and then sees its rows.
    for change in erase_messages_of(session, user):
        after_commit(session, partial(_publish, change))
    own = select(ChatMessage.id).where(ChatMessage.user_id == user.id)
    session.execute(delete(ChatReport).where(or_(ChatReport.user_id == user.id, ChatReport.message_id.in_(own))))
    session.execute(delete(ChatSanction).where(ChatSanction.user_id == user.id))
    without_client_ids = update(ChatMessage).where(ChatMessage.user_id == user.id).values(client_id=None)
    session.execute(without_client_ids.execution_options(synchronize_session=False))


def _publish(change: Change) -> None:
    publish_change(change.view())
