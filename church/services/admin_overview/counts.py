"""Count accounts, jobs and emails for the admin's overview, and find overdue work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from church.database import database_now
from church.jobs.registry import registered_kinds, registered_schedules
from church.models.accounts import Role, User
from church.models.base import utc_now
from church.models.jobs import Job, JobState, Mail, MailState, Schedule


@dataclass(frozen=True)
class MemberCounts:
    """Accounts that are not deleted; ``new_7`` and ``new_30`` are those created in the last 7 and 30 days."""

    members: int
    verified: int
    admins: int
    disabled: int
    new_7: int
    new_30: int


@dataclass(frozen=True)
class WorkCounts:
    """Jobs and emails. ``waiting`` is how long the oldest due job has waited, in seconds."""

    pending: int
    running: int
    dead: int
    waiting: float
    scheduled_at: datetime | None
    """When a worker process last queued a scheduled job; None if none has run yet."""
    late: tuple[str, ...]
    """Kinds of scheduled jobs that are overdue."""
    mails_pending: int
    mails_failed: int


def count_members(session: Session) -> MemberCounts:
    """Count the accounts in one query."""
    now = utc_now()
    conditions = (
        User.verified_at.is_not(None),
        User.role == Role.ADMIN.value,
        User.disabled_at.is_not(None),
        User.created_at >= now - timedelta(days=7),
        User.created_at >= now - timedelta(days=30),
    )
    counted = select(func.count(), *(func.count().filter(condition) for condition in conditions))
    row = session.execute(counted.select_from(User).where(User.deleted_at.is_(None))).one()
    return MemberCounts(*map(int, row))


def count_work(session: Session, late_after: timedelta) -> WorkCounts:
    """Count jobs and emails, and find overdue schedules; ``late_after`` is how late a schedule may be."""
    now = database_now(session)
    jobs = _by_state(session, Job, (JobState.PENDING, JobState.RUNNING, JobState.DEAD))
    mails = _by_state(session, Mail, (MailState.PENDING, MailState.FAILED))
    # Only kinds that this version knows: jobs of another version wait for that version's worker.
    oldest: datetime | None = session.scalar(
        select(func.min(Job.run_at)).where(Job.state == JobState.PENDING.value, Job.kind.in_(registered_kinds()))
    )
    late = select(Schedule.kind).where(Schedule.next_at < now - late_after, Schedule.kind.in_(registered_schedules()))
    return WorkCounts(
        pending=jobs.get(JobState.PENDING, 0),
        running=jobs.get(JobState.RUNNING, 0),
        dead=jobs.get(JobState.DEAD, 0),
        waiting=max(0.0, (now - oldest).total_seconds()) if oldest is not None else 0.0,
        scheduled_at=session.scalar(select(func.max(Schedule.last_at))),
        late=tuple(sorted(session.scalars(late))),
        mails_pending=mails.get(MailState.PENDING, 0),
        mails_failed=mails.get(MailState.FAILED, 0),
    )


def _by_state(
    session: Session, model: type[Job] | type[Mail], states: tuple[JobState, ...] | tuple[MailState, ...]
) -> dict[str, int]:
    """Count the rows in each of ``states``. Finished rows are not counted, so the partial index is enough."""
    wanted = model.state.in_([state.value for state in states])
    counted = select(model.state, func.count().label("total")).where(wanted).group_by(model.state)
    return {row.state: row.total for row in session.execute(counted)}
