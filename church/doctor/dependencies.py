"""Check the database and its revision, and that jobs are on schedule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from church.config import Settings
from church.database import database_now, migrations
from church.database.engines import is_sqlite, make_probe_engine, sqlite_path
from church.database.errors import is_cancelled, is_locked
from church.database.member_index import SearchKind, find_kind
from church.doctor.findings import Finding
from church.models.jobs import Job, JobState, Schedule

_LATE = timedelta(minutes=5)
_FIND_SLOW = "look for slow statements and locks in pg_stat_activity"
_INSTALL = "as a superuser, in the site's database: CREATE EXTENSION pg_trgm; then flask church migrate"
_START_WORKER = "start the worker process: flask church work"
T = TypeVar("T")


def check_database(settings: Settings) -> Finding:
    """Check that the database is reachable and at the revision of the code."""
    try:
        revision = query_database(settings, lambda session: migrations.current_revision(session.connection()))
    except DBAPIError as error:
        if _is_slow(error):
            return "warn", "reachable, but slow or locked: its revision could not be read in a second", _FIND_SLOW
        return "fail", f"not reachable: {str(error.orig).splitlines()[0][:200]}", _fix_connection(settings)
    head = migrations.head_revision()
    if revision == head:
        return _check_search(settings, f"{'SQLite' if is_sqlite(settings) else 'PostgreSQL'} at revision {revision}")
    if revision is None or revision in migrations.known_revisions():
        return "fail", f"at revision {revision or 'none'}, needs {head}", "flask church migrate"
    return "fail", f"at revision {revision}, which this code does not know", "run the newer code, or restore a backup"


def _check_search(settings: Settings, finding: str) -> Finding:
    """Report an index that is missing because PostgreSQL's extension pg_trgm is."""
    try:
        kind = query_database(settings, find_kind)
    except DBAPIError as error:
        return explain_unread("indexes", error)
    if kind is SearchKind.BEGINNINGS:
        missing = f"{finding}, without pg_trgm: old accounts are found by the beginning of name or address alone"
        return "warn", missing, _INSTALL
    return "ok", finding, ""


def check_jobs(settings: Settings) -> Finding:
    """Check for dead jobs, jobs that have waited too long and late schedules."""
    try:
        dead, waiting, late = query_database(settings, _state_of_jobs)
    except DBAPIError as error:
        return explain_unread("jobs", error)
    if late:
        return "warn", f"late schedules: {', '.join(late)}", _START_WORKER
    if waiting > _LATE:
        return "warn", f"oldest due job has waited {waiting.total_seconds() / 60:.0f} minutes", _START_WORKER
    if dead:
        fix = "read their errors with `flask church jobs`, fix the cause, then `flask church jobs --retry ID`"
        return "warn", f"{dead} dead, out of attempts", fix
    return "ok", "no dead or overdue jobs", ""


def _state_of_jobs(session: Session) -> tuple[int, timedelta, list[str]]:
    now = database_now(session)
    dead = session.scalar(select(func.count()).where(Job.state == JobState.DEAD.value)) or 0
    oldest: datetime | None = session.scalar(select(func.min(Job.run_at)).where(Job.state == JobState.PENDING.value))
    waiting = max(timedelta(0), now - oldest) if oldest else timedelta(0)
    late = session.scalars(select(Schedule.kind).where(Schedule.next_at < now - _LATE).order_by(Schedule.kind))
    return dead, waiting, list(late)


def query_database(settings: Settings, question: Callable[[Session], T]) -> T:
    """Run ``question`` in a session of a new database connection. Raises DBAPIError."""
    engine = make_probe_engine(settings)
    try:
        with Session(engine) as session:
            return question(session)
    finally:
        engine.dispose()


def explain_unread(what: str, error: DBAPIError, seconds: int = 1) -> Finding:
    """Explain why ``what`` could not be read from the database within ``seconds``."""
    if _is_slow(error):
        return "warn", f"{what} could not be read in {'a second' if seconds == 1 else f'{seconds} seconds'}", _FIND_SLOW
    return "fail", f"{what} could not be read", "see database"


def _is_slow(error: DBAPIError) -> bool:
    """Whether the database answered that a statement took too long, or waited too long for a lock."""
    return is_cancelled(error) or is_locked(error)


def _fix_connection(settings: Settings) -> str:
    if is_sqlite(settings):
        return f"flask church migrate creates {sqlite_path(settings)}; if it existed, check its owner and the disk"
    return "check DATABASE_URL, and that PostgreSQL runs (pg_isready)"
