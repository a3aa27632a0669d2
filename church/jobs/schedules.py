"""What comes round by itself; the next time is in the database, so that many hosts queue it once a period."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from church.database import Database, database_now
from church.database.upsert import insert_or_ignore
from church.jobs.queue import enqueue
from church.jobs.registry import schedules
from church.models.jobs import Schedule


def queue_due(db: Database) -> None:
    """Queue the job of every schedule whose time has come; a new schedule's time is now."""
    wanted = schedules()
    with db.read() as session:
        now = database_now(session)
        kept = {row.kind: row for row in session.scalars(select(Schedule).where(Schedule.kind.in_(wanted)))}
    changed = {kind for kind, every in wanted.items() if not _is_settled(kept.get(kind), every, now)}
    if not changed:
        return
    with db.write() as session:
        for kind in sorted(changed):
            _settle(session, kind, wanted[kind])


def next_time(last: datetime, every: timedelta, now: datetime) -> datetime:
    """The first time after ``now`` in step with ``last``: periods missed by an outage are not made up for."""
    return last + every * ((now - last) // every + 1)


def _is_settled(row: Schedule | None, every: timedelta, now: datetime) -> bool:
    return row is not None and row.next_at > now and row.every_seconds == every.total_seconds()


def _settle(session: Session, kind: str, every: timedelta) -> None:
    now = database_now(session)
    _make(session, kind, every, now)
    row = session.scalars(select(Schedule).where(Schedule.kind == kind)).one()
    if row.every_seconds != every.total_seconds():
        row.every_seconds = every.total_seconds()
        row.next_at = min(row.next_at, now + every)
        session.flush()
    if row.next_at > now:
        return
    # Whoever moves next_at from the value that was seen has won, and queues the job.
    won = session.execute(
        update(Schedule)
        .where(Schedule.kind == kind, Schedule.next_at == row.next_at)
        .values(next_at=next_time(row.next_at, every, now), last_at=now)
        .execution_options(synchronize_session=False)
    )
    if isinstance(won, CursorResult) and won.rowcount == 1:
        enqueue(session, kind, unique_key=f"schedule:{kind}")


def _make(session: Session, kind: str, every: timedelta, now: datetime) -> None:
    values = {"kind": kind, "every_seconds": every.total_seconds(), "next_at": now}
    insert_or_ignore(session, Schedule, values, unique=["kind"])
