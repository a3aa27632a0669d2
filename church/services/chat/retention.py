"""What the live rooms keep of members, and for how long: to take along, to be forgotten, to fall away by itself."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from church import jobs
from church.config import current_settings
from church.database import after_commit
from church.extensions import db
from church.models import ChatMessage, ChatReport, ChatRoom, ChatSanction, User
from church.models.base import utc_now
from church.services.accounts.data_registry import exports, on_delete
from church.services.chat.change_log import Change, erase_all, tell

_MOST = 10_000  # entries of a list in an export, the newest
_BATCH = 500  # messages in one transaction, so that no other writer waits for long

log = logging.getLogger("church.live")


@exports("live")
def _live(session: Session, user: User) -> dict[str, Any]:
    """What the member has said and reported, and what is held against them; by whom is the admins'."""
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


@on_delete
def forget_member(session: Session, user: User) -> None:
    """Delete what the member has said, and all that was said of it to the admins, by them and about them.

    Each of their messages is a change of its room; the last one tells the workers, who look what else there is.
    """
    # Before the reports: of two who report and leave at one moment, the second waits for the first and sees its rows.
    for change in erase_all(session, user):
        after_commit(session, partial(_tell, change))
    own = select(ChatMessage.id).where(ChatMessage.user_id == user.id)
    session.execute(delete(ChatReport).where(or_(ChatReport.user_id == user.id, ChatReport.message_id.in_(own))))
    session.execute(delete(ChatSanction).where(ChatSanction.user_id == user.id))
    nameless = update(ChatMessage).where(ChatMessage.user_id == user.id).values(client_id=None)
    session.execute(nameless.execution_options(synchronize_session=False))


def _tell(change: Change) -> None:
    tell(change.view())


@jobs.every(timedelta(days=1), "chat.purge")
def purge(_payload: dict[str, Any]) -> None:
    """Remove the messages that are older than ``CHURCH_LIVE_KEEP_DAYS``, and sanctions that ended so long ago."""
    oldest = utc_now() - timedelta(days=current_settings().live_keep_days)
    count = 0
    while batch := _purge_some(oldest):
        count += batch
    with db.write() as session:
        over = or_(ChatSanction.until < oldest, ChatSanction.lifted_at < oldest)
        session.execute(delete(ChatSanction).where(over))
    log.info("old messages purged", extra={"event": "chat.purged", "count": count})


def _purge_some(oldest: datetime) -> int:
    with db.write() as session:
        old = select(ChatMessage.id).where(ChatMessage.created_at < oldest).order_by(ChatMessage.created_at)
        ids = session.scalars(old.limit(_BATCH).with_for_update(skip_locked=True)).all()
        session.execute(delete(ChatReport).where(ChatReport.message_id.in_(ids)))
        session.execute(delete(ChatMessage).where(ChatMessage.id.in_(ids)))
        return len(ids)
