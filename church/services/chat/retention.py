"""Delete messages older than ``CHURCH_LIVE_KEEP_DAYS``, every day."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, or_, select

from church import jobs
from church.config import current_settings
from church.database.batches import delete_in_batches, find_in_batches
from church.database.upsert import count_rows
from church.extensions import db
from church.models import ChatMessage, ChatReport, ChatSanction
from church.models.base import utc_now

log = logging.getLogger("church.live")


@jobs.every(timedelta(days=1), "chat.purge")
def purge_old_messages(_payload: dict[str, Any]) -> None:
    """Delete messages older than ``CHURCH_LIVE_KEEP_DAYS`` with their reports, and sanctions that ended so long ago."""
    oldest = utc_now() - timedelta(days=current_settings().live_keep_days)
    old = [ChatMessage.created_at < oldest]
    count = 0
    for ids in find_in_batches(db, ChatMessage.id, along=ChatMessage.created_at, within=old):
        with db.write() as session:
            # Locked, so that nobody reports one of them between the two deletions.
            session.execute(select(ChatMessage.id).where(ChatMessage.id.in_(ids)).with_for_update())
            session.execute(delete(ChatReport).where(ChatReport.message_id.in_(ids)))
            count += count_rows(session.execute(delete(ChatMessage).where(ChatMessage.id.in_(ids))))
    delete_in_batches(db, ChatSanction.id, or_(ChatSanction.until < oldest, ChatSanction.lifted_at < oldest))
    log.info("old messages deleted", extra={"event": "chat.purged", "count": count})
