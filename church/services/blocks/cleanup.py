"""Delete blocks that ended a month ago, every day: an address is kept no longer than it is of use."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select

from church import jobs
from church.database.upsert import count_rows
from church.extensions import db
from church.models import BlockedNetwork
from church.models.base import utc_now

KEEP_ENDED = timedelta(days=30)

log = logging.getLogger("church.blocks")


@jobs.every(timedelta(days=1), "blocks.purge")
def purge_ended(_payload: dict[str, Any]) -> None:
    """Delete the rows of ended blocks, without the newest: its revision is compared by all hosts."""
    oldest = utc_now() - KEEP_ENDED
    newest = select(func.max(BlockedNetwork.revision)).scalar_subquery()
    old = or_(BlockedNetwork.until < oldest, BlockedNetwork.lifted_at < oldest)
    with db.write() as session:
        count = count_rows(session.execute(delete(BlockedNetwork).where(old, BlockedNetwork.revision < newest)))
    log.info("old blocks deleted", extra={"event": "blocks.purged", "count": count})
