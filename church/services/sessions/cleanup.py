"""Remove expired sessions and email links every hour."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select

from church import jobs
from church.config import current_settings
from church.extensions import db
from church.models.accounts import Link, SignIn, User
from church.models.base import utc_now
from church.services.sessions.lookup import active_conditions, live_conditions

log = logging.getLogger("church.auth")


@jobs.every(timedelta(hours=1), "accounts.purge")
def purge(_payload: dict[str, Any]) -> None:
    """Remove sessions that expired or whose account is disabled or deleted, and links that expired."""
    now = utc_now()
    with db.write() as session:
        live = select(SignIn.id).join(User).where(*live_conditions(current_settings(), now), *active_conditions())
        count = len(session.execute(delete(SignIn).where(SignIn.id.not_in(live)).returning(SignIn.id)).all())
        links = len(session.execute(delete(Link).where(Link.expires_at <= now).returning(Link.id)).all())
    log.info("expired sessions removed", extra={"event": "auth.purged", "sign_ins": count, "links": links})
