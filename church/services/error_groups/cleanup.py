"""Delete groups of errors that have not occurred for long, every day; ignored ones too, which then are new again."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from sqlalchemy import delete

from church import jobs
from church.database.upsert import count_rows
from church.extensions import db
from church.models import ErrorGroup
from church.models.base import utc_now

KEEP = timedelta(days=180)

log = logging.getLogger("church.errors")


@jobs.every(timedelta(days=1), "errors.purge")
def purge_old(_payload: dict[str, Any]) -> None:
    """Delete the groups that occurred last before ``KEEP``."""
    with db.write() as session:
        old = delete(ErrorGroup).where(ErrorGroup.last_seen < utc_now() - KEEP)
        count = count_rows(session.execute(old))
    log.info("old errors deleted", extra={"event": "errors.purged", "count": count})
