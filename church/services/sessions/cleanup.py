"""Remove expired sessions and email links every hour."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, not_, select

from church import jobs
from church.config import current_settings
from church.database.batches import delete_in_batches, find_in_batches
from church.database.upsert import count_rows
from church.extensions import db
from church.models.accounts import Link, SignIn, User
from church.models.base import utc_now
from church.services.sessions.lookup import live_conditions

log = logging.getLogger("church.auth")


@jobs.every(timedelta(hours=1), "accounts.purge")
def purge(_payload: dict[str, Any]) -> None:
    """Remove sessions that expired or whose account is disabled or deleted, and links that expired.

    Each kind is found by an index: it takes as long as there are rows to remove, however many there are.
    """
    now = utc_now()
    sign_ins = _remove_expired(now) + _remove_of_closed_accounts()
    links = delete_in_batches(db, Link.id, along=Link.expires_at, within=[Link.expires_at <= now])
    log.info("expired sessions removed", extra={"event": "auth.purged", "sign_ins": sign_ins, "links": links})


def _remove_expired(now: datetime) -> int:
    expired, old, idle = (not_(condition) for condition in live_conditions(current_settings(), now))
    return (
        delete_in_batches(db, SignIn.id, along=SignIn.expires_at, within=[expired])
        + delete_in_batches(db, SignIn.id, along=SignIn.created_at, within=[old])
        + delete_in_batches(db, SignIn.id, along=SignIn.last_seen_at, within=[idle])
    )


def _remove_of_closed_accounts() -> int:
    """Remove what is left of accounts that were closed by other means than this site's: it removes them at once."""
    # With its limit it is looked up for each account: as EXISTS, PostgreSQL reads all sessions for every batch.
    signed_in = select(SignIn.id).where(SignIn.user_id == User.id).limit(1).scalar_subquery().is_not(None)
    removed = 0
    for closed in (User.deleted_at.is_not(None), and_(User.deleted_at.is_(None), User.disabled_at.is_not(None))):
        for ids in find_in_batches(db, User.id, signed_in, within=[closed]):
            with db.write() as session:
                removed += count_rows(session.execute(delete(SignIn).where(SignIn.user_id.in_(ids))))
    return removed
