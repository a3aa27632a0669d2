"""Jobs listed and counted for admins."""

from __future__ import annotations

from flask import Flask

from church import jobs
from church.database.paging import Place
from church.extensions import db
from church.jobs import listing
from church.models.jobs import Job, JobState


def add(state: JobState) -> None:
    """Add a job with this state."""
    with db.write() as session:
        jobs.enqueue(session, "test.work", {"secret": "words"})
        session.query(Job).filter(Job.state == JobState.PENDING.value).update({"state": state.value, "error": "why"})


def test_list_is_newest_first_page_by_page_and_by_state(app: Flask) -> None:
    for state in (JobState.DEAD, JobState.DONE, JobState.DEAD, JobState.DEAD):
        add(state)
    with db.read() as session:
        assert [job.id for job in listing.list_jobs(session)] == [4, 3, 2, 1]
        assert [job.id for job in listing.list_jobs(session, place=Place(before=4, size=2))] == [3, 2]
        assert [job.id for job in listing.list_jobs(session, JobState.DEAD)] == [4, 3, 1]


def test_view_has_the_reason_and_no_payload(app: Flask) -> None:
    add(JobState.DEAD)
    with db.read() as session:
        [view] = listing.list_jobs(session)
    assert (view.kind, view.state, view.reason, view.max_attempts) == ("test.work", JobState.DEAD, "why", 5)
    assert "words" not in repr(view)


def test_count_has_every_state(app: Flask) -> None:
    add(JobState.DEAD)
    add(JobState.DEAD)
    with db.read() as session:
        assert listing.count_by_state(session) == {
            JobState.PENDING: 0,
            JobState.RUNNING: 0,
            JobState.DONE: 0,
            JobState.DEAD: 2,
        }
