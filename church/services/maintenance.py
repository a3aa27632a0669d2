"""Announce maintenance of the site on all hosts, and end it."""

from __future__ import annotations

import math
from datetime import timedelta

from church.database import maintenance as announcements
from church.database.maintenance import Announcement
from church.errors import FieldErrors
from church.extensions import db
from church.models.base import plain, utc_now
from church.services import audit
from church.services.audit import Actor

MAX_REASON_LENGTH = 200
MAX_MINUTES = 24 * 60


def make_announcement(reason: str, minutes: int | None, by: str | None = None) -> Announcement:
    """Make an announcement that begins now. ``minutes`` is an estimate. Raises FieldErrors."""
    reason, now = " ".join(plain(reason).split()), utc_now()
    errors = {}
    if len(reason) > MAX_REASON_LENGTH:
        errors["reason"] = f"Use at most {MAX_REASON_LENGTH} characters."
    if minutes is not None and not 1 <= minutes <= MAX_MINUTES:
        errors["minutes"] = f"Enter 1 to {MAX_MINUTES} minutes, or leave it empty."
    if errors:
        raise FieldErrors(errors)
    return Announcement(reason, now, now + timedelta(minutes=minutes) if minutes is not None else None, by)


def minutes_left(announcement: Announcement) -> int | None:
    """Whole minutes until the announced end; None without one, or after it."""
    if announcement.until is None or announcement.until <= (now := utc_now()):
        return None
    return math.ceil((announcement.until - now) / timedelta(minutes=1))


def begin_maintenance(announcement: Announcement, actor: Actor) -> None:
    """Close the site on all hosts, or change what visitors are shown while it is closed."""
    with db.write() as session:
        announcements.write_row(session, announcement)
        until = announcement.until.isoformat(timespec="minutes") if announcement.until is not None else None
        audit.record_by(session, "maintenance.begun", actor, reason=announcement.reason, until=until)


def end_maintenance(actor: Actor) -> bool:
    """Open the site on all hosts; return whether it was closed."""
    with db.write() as session:
        ended = announcements.read_row(session) is not None
        if ended:
            announcements.write_row(session, None)
            audit.record_by(session, "maintenance.ended", actor)
    return ended


def load_announcement() -> Announcement | None:
    """Load the announcement for all hosts; None if there is none."""
    with db.read() as session:
        return announcements.read_row(session)
