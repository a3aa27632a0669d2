"""The mails on their way. What is in them is not shown."""

from __future__ import annotations

from flask import Response, url_for

from church.access import ADMINS, allow
from church.answers import actor, done
from church.blueprints.admin.area import answer, bp, section
from church.blueprints.admin.asked import PAGE, listed, number, one_of
from church.limits import limited
from church.models.mail import MailState
from church.services import mails as post
from church.services import overview_work


@bp.get("/mails")
@section("Mails", 40)
@allow(ADMINS)
@limited("page")
def mails() -> Response:
    """The mails of a state, newest first."""
    state = one_of(MailState, "state")
    found = listed(post.recent(state, number("before"), PAGE + 1))
    return answer("admin/mails.html", {"mails": found}, state=state)


@bp.post("/mails/<int(max=9223372036854775807):mail_id>/retry")
@allow(ADMINS)
@limited("account")
def mail_retry(mail_id: int) -> Response:
    """Queue a failed mail once more."""
    overview_work.retry_mail(mail_id, actor())
    return done(f"Mail {mail_id} is queued again.", url_for("admin.mails", state=MailState.FAILED.value))
