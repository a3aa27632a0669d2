"""Tell the admins of new reports by email: at most one email in 15 minutes, about all reports since the last one.

The email names rooms and counts. What was written stays in the admin area, behind its sign-in.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from church import jobs
from church.config import current_settings
from church.database import database_now
from church.extensions import db
from church.models import ChatMessage, ChatReport, ChatRoom
from church.services import email

PAUSE = timedelta(minutes=15)
"""The least time between two emails: an address gets at most five of a kind in an hour."""
_JOB = "chat.report_email"
_MOST_ROOMS = 3

log = logging.getLogger("church.live")


def queue_report_email(session: Session) -> None:
    """Queue the job that tells the admins, in the transaction that stores a report. One at most is waiting."""
    if not current_settings().email_reports:
        return
    last = session.scalar(select(func.max(ChatReport.emailed_at)))
    wait = last + PAUSE - database_now(session) if last is not None else timedelta(0)
    jobs.enqueue(session, _JOB, unique_key=_JOB, delay=min(max(wait, timedelta(0)), PAUSE))


@jobs.handler(_JOB)
def email_admins(_payload: dict[str, Any]) -> None:
    """Queue an email to each admin about the open reports that none was about yet."""
    with db.write() as session:
        now = database_now(session)
        found = session.execute(_NEW.with_for_update(of=ChatReport)).all()
        _mark(session, now)
        if not found or not current_settings().email_reports:
            return
        titles = list(dict.fromkeys(title for _, title in found))
        context: dict[str, Any] = {"count": len(found), "rooms": _list_rooms(titles)}
        email.queue_email_to_admins(session, "new_reports", **context)
    log.info("admins told of reports", extra={"event": "chat.reports_emailed", "count": len(found)})


_NEW = (
    select(ChatReport.id, ChatRoom.title)
    .join(ChatMessage, ChatMessage.id == ChatReport.message_id)
    .join(ChatRoom, ChatRoom.id == ChatMessage.room_id)
    .where(ChatReport.emailed_at.is_(None), ChatReport.settled_at.is_(None))
    .order_by(ChatReport.id)
)


def _mark(session: Session, now: datetime) -> None:
    """Mark the reports as told, with those that were closed before anyone was."""
    new = update(ChatReport).where(ChatReport.emailed_at.is_(None))
    session.execute(new.values(emailed_at=now).execution_options(synchronize_session=False))


def _list_rooms(titles: list[str]) -> str:
    """Name the rooms in a sentence; only some of many."""
    if len(titles) > _MOST_ROOMS:
        return f"{', '.join(titles[:_MOST_ROOMS])} and other rooms"
    return " and ".join(filter(None, (", ".join(titles[:-1]), titles[-1])))
