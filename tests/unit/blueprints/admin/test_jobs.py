"""The job queue in the admin area: state and reason without payload, and retries."""

from __future__ import annotations

import pytest
from flask import Flask

from church.extensions import db
from church.models import Job
from church.models.base import utc_now
from tests.support.accounts_fixture import audited
from tests.support.desk import JSON, AdminBrowser, call_in_context

HOSTILE = '"><svg onload=x>{{7*7}}</title>'


def add_dead_job() -> int:
    """Add a job that failed for good. Returns its id."""
    with db.write() as session:
        facts = {"payload": {"secret": "s3cret"}, "max_attempts": 5, "created_at": utc_now(), "run_at": utc_now()}
        job = Job(kind="test.work", state="dead", attempts=5, error=HOSTILE, **facts)
        session.add(job)
        session.flush()
        return job.id


def test_jobs_show_state_and_reason_but_no_payload(desk: AdminBrowser, app: Flask) -> None:
    call_in_context(app, add_dead_job)
    for found in (desk.get("/admin/jobs?state=dead"), desk.get("/admin/jobs?state=dead", **JSON)):
        assert "s3cret" not in found.text
    page = desk.get("/admin/jobs?state=dead").text
    assert "<svg onload" not in page
    assert "&lt;svg onload=x&gt;{{7*7}}" in page
    assert desk.get("/admin/jobs", **JSON).json["counts"]["dead"] == 1  # type: ignore[index]
    assert "No pending jobs" in desk.get("/admin/jobs?state=pending").text


def test_dead_job_is_retried_once(desk: AdminBrowser, app: Flask) -> None:
    job = call_in_context(app, add_dead_job)
    found = desk.send(f"/admin/jobs/{job}/retry")
    assert (found.status_code, found.headers["Location"]) == (303, "/admin/jobs?state=dead")
    assert desk.send(f"/admin/jobs/{job}/retry").status_code == 409
    assert call_in_context(app, audited) == ["job.retried"]
    with app.app_context(), db.read() as session:
        assert session.get_one(Job, job).state == "pending"


@pytest.mark.parametrize("number", ["99999999999999999999", "x", "-1"])
def test_retry_of_an_invalid_job_id_is_not_found(desk: AdminBrowser, number: str) -> None:
    assert desk.send(f"/admin/jobs/{number}/retry").status_code == 404
