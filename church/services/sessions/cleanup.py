"""Remove expired sessions and email links every hour."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, exists, not_

from church import jobs
from church.config import current_settings
from church.database.batches import delete_in_batches
from church.extensions import db
from church.models.accounts import Link, SignIn, User
from church.models.base import utc_now
from church.services.sessions.lookup import active_conditions, live_conditions

log = logging.getLogger("church.auth")


@jobs.every(timedelta(hours=1), "accounts.purge")
def purge(_payload: dict[str, Any]) -> None:
    """Remove sessions that expired or whose account is disabled or deleted, and links that expired."""
    now = utc_now()
    may_sign_in = exists().where(User.id == SignIn.user_id, *active_conditions())
    ended = not_(and_(*live_conditions(current_settings(), now), may_sign_in))
    sign_ins = delete_in_batches(db, SignIn.id, ended)
    links = delete_in_batches(db, Link.id, along=Link.expires_at, within=[Link.expires_at <= now])
    log.info("expired sessions removed", extra={"event": "auth.purged", "sign_ins": sign_ins, "links": links})
