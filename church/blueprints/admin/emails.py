"""The email queue: list emails without their content, and retry failed ones."""

from __future__ import annotations

from flask import Response, url_for

from church.blueprints.admin.area import Group, bp, render_answer, section
from church.blueprints.admin.list_filters import read_choice, read_place
from church.models.jobs import MailState
from church.services import admin_overview, email
from church.web.rate_limits import limited
from church.web.responses import current_actor, respond_done
from church.web.route_access import ADMINS, allow


@bp.get("/mails")
@section("Emails", Group.SYSTEM, 30)
@allow(ADMINS)
@limited("page")
def mails() -> Response:
    """List the emails, newest first; optionally those in one state."""
    state = read_choice(MailState, "state")
    return render_answer(
        "admin/mails.html", {"mails": email.list_recent_emails(state, read_place()).as_data()}, state=state
    )


@bp.post("/mails/<int(max=9223372036854775807):mail_id>/retry")
@allow(ADMINS)
@limited("account")
def mail_retry(mail_id: int) -> Response:
    """Queue a failed email again."""
    admin_overview.retry_email(mail_id, current_actor())
    return respond_done(f"Email {mail_id} is queued again.", url_for("admin.mails", state=MailState.FAILED.value))
