"""The job queue: list jobs without their payload, and retry dead ones."""

from __future__ import annotations

from flask import Response, url_for

from church import jobs as queue
from church.blueprints.admin.area import Group, bp, render_answer, section
from church.blueprints.admin.list_filters import read_choice, read_place
from church.models.jobs import JobState
from church.services import admin_overview
from church.web.rate_limits import limited
from church.web.responses import current_actor, respond_done
from church.web.route_access import ADMINS, allow


@bp.get("/jobs")
@section("Jobs", Group.SYSTEM, 20, "j")
@allow(ADMINS)
@limited("page")
def jobs() -> Response:
    """List the jobs, newest first; optionally those in one state."""
    state = read_choice(JobState, "state")
    rows = queue.list_jobs(state, read_place())
    return render_answer("admin/jobs.html", {"jobs": rows.as_data(), "counts": queue.count_by_state()}, state=state)


@bp.post("/jobs/<int(max=9223372036854775807):job_id>/retry")
@allow(ADMINS)
@limited("account")
def job_retry(job_id: int) -> Response:
    """Queue a dead job again."""
    admin_overview.retry_job(job_id, current_actor())
    return respond_done(f"Job {job_id} is queued again.", url_for("admin.jobs", state=JobState.DEAD.value))
