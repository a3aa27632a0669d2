"""Tell the admins by email of an error that is new or back: at most one email in 15 minutes, about all since the last.

The email names the class and the place of an error, and not what it said.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from church import jobs
from church.config import current_settings
from church.database import database_now
from church.extensions import db
from church.models import ErrorGroup
from church.models.error_groups import ErrorState
from church.services import email

PAUSE = timedelta(minutes=15)
"""The least time between two emails: an address gets at most five of a kind in an hour."""
_JOB = "errors.email"
_MOST_NAMED = 5

log = logging.getLogger("church.errors")


def queue_error_email(session: Session) -> None:
    """Queue the job that tells the admins, in the transaction that stores an error. One at most is waiting."""
    if not current_settings().email_errors:
        return
    last = session.scalar(select(func.max(ErrorGroup.emailed_at)))
    wait = last + PAUSE - database_now(session) if last is not None else timedelta(0)
    jobs.enqueue(session, _JOB, unique_key=_JOB, delay=min(max(wait, timedelta(0)), PAUSE))


@jobs.handler(_JOB)
def email_admins(_payload: dict[str, Any]) -> None:
    """Queue an email to each admin about the errors that none was about yet."""
    with db.write() as session:
        now = database_now(session)
        due = select(ErrorGroup).where(ErrorGroup.emailed_at.is_(None)).order_by(ErrorGroup.fingerprint)
        groups = list(session.scalars(due.with_for_update()))
        for group in groups:
            group.emailed_at = now
        told = [group for group in groups if group.state == ErrorState.OPEN.value]
        if not told or not current_settings().email_errors:
            return
        told.sort(key=lambda group: group.last_seen, reverse=True)
        named = [_describe(group) for group in told[:_MOST_NAMED]]
        email.queue_email_to_admins(session, "new_errors", count=len(told), errors=named)
    log.info("admins told of errors", extra={"event": "errors.emailed", "count": len(told)})


def _describe(group: ErrorGroup) -> dict[str, Any]:
    return {"error_type": group.error_type, "place": group.place, "is_back": group.came_back_at is not None}
