"""The doctor's look at the database: does it answer, is it at the head, is the work being done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from church.config import Settings
from church.database import database_now, migrations
from church.database.engines import is_sqlite, probe_engine, sqlite_path
from church.doctor.findings import Finding
from church.models.jobs import Job, JobState, Schedule

_LATE = timedelta(minutes=5)
_START_WORKER = "is the worker process running? flask church work"
T = TypeVar("T")


def check_database(settings: Settings) -> Finding:
    """Reachable, and at the revision of the code."""
    try:
        found = ask(settings, lambda session: migrations.current(session.connection()))
    except DBAPIError as error:
        return "fail", f"does not answer: {str(error.orig).splitlines()[0][:200]}", _way_to(settings)
    wanted = migrations.head()
    if found == wanted:
        return "ok", f"{'SQLite' if is_sqlite(settings) else 'PostgreSQL'} at revision {found}", ""
    if found is None or found in migrations.known_revisions():
        return "fail", f"at revision {found or 'none'}, wants {wanted}", "flask church migrate"
    return "fail", f"at revision {found}, which this code does not know", "run the newer code, or restore a backup"


def check_jobs(settings: Settings) -> Finding:
    """No dead jobs, none that waits for long, no schedule that is late."""
    try:
        dead, waiting, late = ask(settings, _state_of_jobs)
    except DBAPIError:
        return "fail", "can't be read", "see database"
    if late:
        return "warn", f"schedules are late: {', '.join(late)}", _START_WORKER
    if waiting > _LATE:
        return "warn", f"the oldest due job has waited for {waiting.total_seconds() / 60:.0f} minutes", _START_WORKER
    if dead:
        fix = "read their errors with `flask church jobs`, mend the cause, then `flask church jobs --retry ID`"
        return "warn", f"{dead} dead, out of attempts", fix
    return "ok", "none dead, none waits for long", ""


def _state_of_jobs(session: Session) -> tuple[int, timedelta, list[str]]:
    now = database_now(session)
    dead = session.scalar(select(func.count()).where(Job.state == JobState.DEAD.value)) or 0
    oldest: datetime | None = session.scalar(select(func.min(Job.run_at)).where(Job.state == JobState.PENDING.value))
    waiting = max(timedelta(0), now - oldest) if oldest else timedelta(0)
    late = session.scalars(select(Schedule.kind).where(Schedule.next_at < now - _LATE).order_by(Schedule.kind))
    return dead, waiting, list(late)


def ask(settings: Settings, question: Callable[[Session], T]) -> T:
    """Put a question to the database in a connection of its own. Raises DBAPIError."""
    engine = probe_engine(settings)
    try:
        with Session(engine) as session:
            return question(session)
    finally:
        engine.dispose()


def _way_to(settings: Settings) -> str:
    if is_sqlite(settings):
        return f"flask church migrate makes {sqlite_path(settings)}; if it was there, look at its owner and the disk"
    return "look at DATABASE_URL and whether PostgreSQL runs (pg_isready)"
