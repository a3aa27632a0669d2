"""Recurring jobs: each is queued once per period."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from church.extensions import db
from church.jobs.registry import schedule
from church.jobs.schedules import next_time, queue_due_schedules
from church.models import Job, Schedule
from church.models.base import utc_now


@pytest.mark.parametrize(("minutes_late", "expected_in"), [(0, 60), (1, 59), (59, 1), (60, 60), (1450, 50)])
def test_next_time_stays_in_step_and_skips_missed_periods(minutes_late: int, expected_in: int) -> None:
    now = utc_now()
    found = next_time(now - timedelta(minutes=minutes_late), timedelta(hours=1), now)
    assert found - now == timedelta(minutes=expected_in)


def queued() -> list[str | None]:
    """Keys of the queued jobs."""
    with db.read() as session:
        return list(session.scalars(select(Job.unique_key).order_by(Job.id)))


def next_at() -> datetime:
    """When the one schedule is due."""
    with db.read() as session:
        return session.scalars(select(Schedule.next_at)).one()


def make_due() -> None:
    """Let the period of the one schedule end."""
    with db.write() as session:
        session.execute(update(Schedule).values(next_at=utc_now() - timedelta(minutes=1)))
        session.execute(update(Job).values(state="done"))


def test_new_schedule_is_queued_at_once_and_once_per_period(app: Flask) -> None:
    schedule("test.work", timedelta(hours=1))
    queue_due_schedules(db)
    queue_due_schedules(db)
    assert queued() == ["schedule:test.work"]
    assert next_at() > utc_now() + timedelta(minutes=59)


def test_schedule_whose_period_has_ended_is_queued_again(app: Flask) -> None:
    schedule("test.work", timedelta(hours=1))
    queue_due_schedules(db)
    make_due()
    queue_due_schedules(db)
    assert len(queued()) == 2


def test_shorter_period_moves_the_next_time_without_queueing(app: Flask) -> None:
    schedule("test.work", timedelta(hours=1))
    queue_due_schedules(db)
    schedule("test.work", timedelta(minutes=5))
    queue_due_schedules(db)
    assert next_at() <= utc_now() + timedelta(minutes=5)
    assert len(queued()) == 1


def test_schedules_without_any_queue_nothing(app: Flask) -> None:
    queue_due_schedules(db)
    assert queued() == []
