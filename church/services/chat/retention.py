"""Delete messages older than ``CHURCH_LIVE_KEEP_DAYS``, every day."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, or_, select

from church import jobs
from church.config import current_settings
from church.extensions import db
from church.models import ChatMessage, ChatReport, ChatSanction
from church.models.base import utc_now

_BATCH = 500  # messages in one transaction, so that other writers do not wait for long

log = logging.getLogger("church.live")


@jobs.every(timedelta(days=1), "chat.purge")
def purge_old_messages(_payload: dict[str, Any]) -> None:
    """Delete messages older than ``CHURCH_LIVE_KEEP_DAYS`` with their reports, and sanctions that ended so long ago."""
    oldest = utc_now() - timedelta(days=current_settings().live_keep_days)
    count = 0
    while batch := _purge_batch(oldest):
        count += batch
    with db.write() as session:
        over = or_(ChatSanction.until < oldest, ChatSanction.lifted_at < oldest)
        session.execute(delete(ChatSanction).where(over))
    log.info("old messages deleted", extra={"event": "chat.purged", "count": count})


def _purge_batch(oldest: datetime) -> int:
    with db.write() as session:
        old = select(ChatMessage.id).where(ChatMessage.created_at < oldest).order_by(ChatMessage.created_at)
        ids = session.scalars(old.limit(_BATCH).with_for_update(skip_locked=True)).all()
        session.execute(delete(ChatReport).where(ChatReport.message_id.in_(ids)))
        session.execute(delete(ChatMessage).where(ChatMessage.id.in_(ids)))
        return len(ids)
