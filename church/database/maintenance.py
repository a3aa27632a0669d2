"""Announcements of maintenance: a row for all hosts, a file for one host, and a copy of the row on each host.

The copy is for the time when the database does not answer: a closed site stays closed, also in a process that starts
then. A restore replaces the database, but not what it says about maintenance: see ``church.backup``.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, delete, inspect, select
from sqlalchemy.orm import Session

from church.config import Settings
from church.lib.files import make_private
from church.models import Maintenance
from church.models.base import utc_now

_ROW = 1


@dataclass(frozen=True)
class Announcement:
    """Maintenance that is on: why, since when, and the end that visitors are shown."""

    reason: str = ""
    since: datetime = field(default_factory=utc_now)
    until: datetime | None = None
    by: str | None = None
    """Ref of the admin's account; None for the command line."""


# -- the row ---------------------------------------------------------------------------------------------------------


def read_row(connection: Connection | Session) -> Announcement | None:
    """Read the announcement for all hosts; None if there is none. Raises SQLAlchemy's errors, as without the table."""
    table = Maintenance.__table__.c
    row = connection.execute(select(table.reason, table.since, table.until, table.by)).one_or_none()
    return Announcement(*row) if row is not None else None


def write_row(connection: Connection | Session, announcement: Announcement | None) -> None:
    """Replace the announcement for all hosts, in the caller's transaction."""
    connection.execute(delete(Maintenance))
    if announcement is not None:
        connection.execute(Maintenance.__table__.insert().values(id=_ROW, **asdict(announcement)))  # type: ignore[attr-defined]


def read_row_if_any(engine: Engine) -> Announcement | None:
    """Like ``read_row``, on a connection of its own; None also before the migration that creates the table."""
    with engine.connect() as connection:
        if not inspect(connection).has_table(Maintenance.__tablename__):
            return None
        return read_row(connection)


def create_table(connection: Connection) -> None:
    """Create the table if the database, a restored one, is older than it. The migration then leaves it as it is."""
    Maintenance.__table__.create(connection, checkfirst=True)  # type: ignore[attr-defined]


# -- files -----------------------------------------------------------------------------------------------------------


def host_file(settings: Settings) -> Path:
    """Path of the file that closes this host. Any contents count, so that ``touch`` will do."""
    return settings.instance / "maintenance"


def copy_file(settings: Settings) -> Path:
    """Path of this host's copy of the row."""
    return settings.instance / "maintenance-of-all-hosts"


def read_file(path: Path) -> Announcement | None:
    """Read an announcement; None if there is no file. One that can't be read is an announcement without details."""
    if not path.exists():  # asked first: without a free descriptor every file would look unreadable
        return None
    try:
        facts = json.loads(path.read_bytes())
        since = _time(facts.get("since")) or _changed(path)
        return Announcement(str(facts.get("reason") or ""), since, _time(facts.get("until")), facts.get("by"))
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return Announcement(since=_changed(path))


def write_file(path: Path, announcement: Announcement) -> None:
    """Write an announcement, complete or not at all. Raises OSError."""
    make_private(path.parent)
    facts: dict[str, Any] = asdict(announcement)
    facts["since"] = announcement.since.timestamp()
    facts["until"] = announcement.until.timestamp() if announcement.until is not None else None
    draft = path.with_name(f"{path.name}.{os.getpid()}")  # several processes may write the copy at once
    draft.write_text(json.dumps(facts))
    draft.replace(path)


def keep_copy(settings: Settings, announcement: Announcement | None) -> None:
    """Make this host's copy say what the row says; it is written only if that has changed. Raises OSError."""
    path = copy_file(settings)
    if announcement is None:
        path.unlink(missing_ok=True)
    elif read_file(path) != announcement:
        write_file(path, announcement)


def _time(seconds: Any) -> datetime | None:
    """Convert seconds since 1970. Raises ValueError, TypeError or OverflowError for anything that is no time."""
    return datetime.fromtimestamp(float(seconds), UTC) if seconds is not None else None


def _changed(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return utc_now()
