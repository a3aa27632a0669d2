"""Count accounts, jobs and emails for the admin's overview, and find overdue work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ScalarSelect, func, select
from sqlalchemy.orm import Session

from church.database import database_now
from church.database.kept_sums import SumName, Total, read_all_sums
from church.database.paging import count_up_to
from church.jobs.registry import registered_kinds, registered_schedules
from church.models.accounts import Role, User
from church.models.base import utc_now
from church.models.billing import CURRENT_STATUSES
from church.models.chat import ChatReport
from church.models.jobs import Job, JobState, Mail, MailState, Schedule

MOST_WORK = 10_000
"""Counted no further: then there is more than enough to do."""


@dataclass(frozen=True)
class MemberCounts:
    """Accounts that are not deleted; ``new_7`` and ``new_30`` are those created in the last 7 and 30 days.

    ``subscriptions`` are those that members have now.
    """

    members: int
    verified: int
    admins: int
    disabled: int
    subscriptions: int
    new_7: int
    new_30: int


@dataclass(frozen=True)
class WorkCounts:
    """Jobs, emails and reports, of each kind at most one more than ``MOST_WORK``.

    ``waiting`` is how long the oldest due job has waited, in seconds.
    """

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
    open_reports: int
    """Reports of chat messages that no admin has settled."""


def count_members(session: Session) -> MemberCounts:
    """Read the counts that the database keeps; only what depends on the time is counted, by an index."""
    kept, now = read_all_sums(session, SumName.ACCOUNTS, SumName.SUBSCRIPTIONS), utc_now()
    accounts = {key: total for key, total in kept[SumName.ACCOUNTS].items() if not key.startswith("deleted/")}
    recent = [
        select(func.count())
        .where(User.created_at >= now - timedelta(days=days), User.deleted_at.is_(None))
        .scalar_subquery()
        for days in (7, 30)
    ]
    new_7, new_30 = session.execute(select(*recent)).one()
    return MemberCounts(
        members=sum(total.count for total in accounts.values()),
        verified=_count_with(accounts, "confirmed"),
        admins=_count_with(accounts, Role.ADMIN),
        disabled=_count_with(accounts, "disabled"),
        subscriptions=sum(_count_with(kept[SumName.SUBSCRIPTIONS], status) for status in CURRENT_STATUSES),
        new_7=new_7,
        new_30=new_30,
    )


def _count_with(sums: Mapping[str, Total], part: str) -> int:
    """Count the rows whose key has ``part`` between its slashes."""
    return sum(total.count for key, total in sums.items() if part in key.split("/"))


def count_work(session: Session, late_after: timedelta) -> WorkCounts:
    """Count jobs and emails, and find overdue schedules; ``late_after`` is how late a schedule may be."""
    now = database_now(session)
    counted = [
        *(_count_jobs(state) for state in (JobState.PENDING, JobState.RUNNING, JobState.DEAD)),
        *(_count_mails(state) for state in (MailState.PENDING, MailState.FAILED)),
        count_up_to(select(ChatReport.id).where(ChatReport.settled_at.is_(None)), MOST_WORK),
    ]
    pending, running, dead, mails_pending, mails_failed, reports = map(int, session.execute(select(*counted)).one())
    # Only kinds that this version knows: jobs of another version wait for that version's worker.
    oldest: datetime | None = session.scalar(
        select(func.min(Job.run_at)).where(Job.state == JobState.PENDING.value, Job.kind.in_(registered_kinds()))
    )
    late = select(Schedule.kind).where(Schedule.next_at < now - late_after, Schedule.kind.in_(registered_schedules()))
    return WorkCounts(
        pending=pending,
        running=running,
        dead=dead,
        waiting=max(0.0, (now - oldest).total_seconds()) if oldest is not None else 0.0,
        scheduled_at=session.scalar(select(func.max(Schedule.last_at))),
        late=tuple(sorted(session.scalars(late))),
        mails_pending=mails_pending,
        mails_failed=mails_failed,
        open_reports=reports,
    )


def _count_jobs(state: JobState) -> ScalarSelect[int]:
    return count_up_to(select(Job.id).where(Job.state == state.value).order_by(Job.id), MOST_WORK)


def _count_mails(state: MailState) -> ScalarSelect[int]:
    return count_up_to(select(Mail.id).where(Mail.state == state.value).order_by(Mail.id), MOST_WORK)
