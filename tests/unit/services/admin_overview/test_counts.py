"""Counts of accounts, jobs and emails, and overdue schedules."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

from church import jobs
from church.extensions import db
from church.models.accounts import User
from church.models.base import utc_now
from church.models.jobs import Job, Schedule
from church.services.admin_overview.counts import count_members, count_work
from tests.support.people import add_user

KIND = "pages.index"  # a job that this version knows, and schedules
MINUTE = timedelta(minutes=1)


def add_schedule(kind: str, next_in: timedelta) -> None:
    now = utc_now()
    with db.write() as session:
        session.query(Schedule).where(Schedule.kind == kind).delete()
        session.add(Schedule(kind=kind, every_seconds=300.0, next_at=now + next_in, last_at=now))


def test_members_are_counted_by_state_and_age_without_deleted_ones(at_work: Flask) -> None:
    now = utc_now()
    people = (
        {"role": "admin"},
        {"verified": False, "created_at": now - timedelta(days=8)},
        {"disabled_at": now, "created_at": now - timedelta(days=31)},
        {"role": "admin"},
    )
    for number, facts in enumerate(people):
        last = add_user(at_work, f"p{number}@church.example", password_hash="x", **{"created_at": now, **facts})
    with db.write() as session:
        session.query(User).where(User.id == last.id).update({"deleted_at": now, "email": None, "email_key": None})
    with db.read() as session:
        found = count_members(session)
    assert (found.members, found.verified, found.admins, found.disabled) == (3, 2, 1, 1)
    assert (found.new_7, found.new_30) == (1, 2)


def test_work_of_a_new_site_is_nothing(at_work: Flask) -> None:
    with db.read() as session:
        found = count_work(session, MINUTE)
    assert (found.pending, found.running, found.dead, found.waiting, found.late) == (0, 0, 0, 0.0, ())
    assert (found.mails_pending, found.mails_failed) == (0, 0)


def test_jobs_are_counted_by_state_and_the_oldest_due_one_waits(at_work: Flask) -> None:
    with db.write() as session:
        for _ in range(5):
            jobs.enqueue(session, KIND)
        session.flush()
        states = ("pending", "pending", "running", "dead", "done")
        for job, state in zip(session.query(Job), states, strict=True):
            job.state = state
        session.flush()
        session.query(Job).where(Job.state == "pending").update({"run_at": utc_now() - timedelta(hours=1)})
    with db.read() as session:
        found = count_work(session, MINUTE)
    assert (found.pending, found.running, found.dead) == (2, 1, 1)
    assert found.waiting == pytest.approx(3600, abs=60)


def test_job_of_another_version_is_not_waited_for(at_work: Flask) -> None:
    with db.write() as session:
        jobs.enqueue(session, KIND)
        session.flush()
        session.query(Job).update({"kind": "of.tomorrow", "run_at": utc_now() - timedelta(hours=1)})
    with db.read() as session:
        assert count_work(session, MINUTE).waiting == 0.0


@pytest.mark.parametrize(
    ("kind", "next_in", "late"),
    [
        (KIND, timedelta(minutes=-5), (KIND,)),
        (KIND, timedelta(seconds=-5), ()),
        (KIND, timedelta(minutes=5), ()),
        ("of.tomorrow", timedelta(minutes=-5), ()),
    ],
)
def test_schedule_is_late_after_the_limit(at_work: Flask, kind: str, next_in: timedelta, late: tuple[str, ...]) -> None:
    add_schedule(kind, next_in)
    with db.read() as session:
        found = count_work(session, MINUTE)
    assert found.late == late
    assert found.scheduled_at is not None
