"""Queue recurring jobs. The next time is in the database, so that many hosts queue each job once per period."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import CursorResult, bindparam, func, select, update
from sqlalchemy.orm import Session

from church.database import Database, database_now
from church.database.upsert import insert_or_ignore
from church.jobs.queue import enqueue
from church.jobs.registry import registered_schedules
from church.models.jobs import Schedule


def queue_due_schedules(db: Database) -> None:
    """Queue the job of every schedule that is due. A new schedule is due now."""
    periods = registered_schedules()
    if not periods:
        return
    with db.read() as session:
        now = database_now(session)
        rows = {row.kind: row for row in session.scalars(select(Schedule).where(Schedule.kind.in_(periods)))}
    due = {kind for kind, every in periods.items() if not _is_up_to_date(rows.get(kind), every, now)}
    if not due:
        return
    with db.write() as session:
        for kind in sorted(due):
            _update(session, kind, periods[kind])


def find_next_time(session: Session) -> datetime | None:
    """When the next schedule is due; None if there is none."""
    return session.scalars(_NEXT, {"kinds": list(registered_schedules())}).first()


_NEXT = select(func.min(Schedule.next_at)).where(Schedule.kind.in_(bindparam("kinds", expanding=True)))


def next_time(last: datetime, every: timedelta, now: datetime) -> datetime:
    """The first time after ``now`` in step with ``last``. Periods missed in an outage are skipped."""
    return last + every * ((now - last) // every + 1)


def _is_up_to_date(row: Schedule | None, every: timedelta, now: datetime) -> bool:
    return row is not None and row.next_at > now and row.every_seconds == every.total_seconds()


def _update(session: Session, kind: str, every: timedelta) -> None:
    now = database_now(session)
    _insert(session, kind, every, now)
    row = session.scalars(select(Schedule).where(Schedule.kind == kind)).one()
    if row.every_seconds != every.total_seconds():
        row.every_seconds = every.total_seconds()
        row.next_at = min(row.next_at, now + every)
        session.flush()
    if row.next_at > now:
        return
    # The process that changes next_at from the value it read queues the job.
    result = session.execute(
        update(Schedule)
        .where(Schedule.kind == kind, Schedule.next_at == row.next_at)
        .values(next_at=next_time(row.next_at, every, now), last_at=now)
        .execution_options(synchronize_session=False)
    )
    if isinstance(result, CursorResult) and result.rowcount == 1:
        enqueue(session, kind, unique_key=f"schedule:{kind}")


def _insert(session: Session, kind: str, every: timedelta, now: datetime) -> None:
    values = {"kind": kind, "every_seconds": every.total_seconds(), "next_at": now}
    insert_or_ignore(session, Schedule, values, unique=["kind"])
