"""Reports of chat messages: list them, dismiss them, or delete the message."""

from __future__ import annotations

from enum import StrEnum

from flask import Response, url_for

from church.blueprints.admin.area import Group, bp, render_answer, section
from church.blueprints.admin.list_filters import read_choice, read_place
from church.services import chat
from church.web.forms import read_fields
from church.web.rate_limits import limited
from church.web.responses import current_actor, respond_done
from church.web.route_access import ADMINS, allow


class ReportState(StrEnum):
    """Whether a report is still open."""

    OPEN = "open"
    SETTLED = "settled"


@bp.get("/live")
@section("Live", Group.SITE, 50)
@allow(ADMINS)
@limited("page")
def live() -> Response:
    """List the open or the settled reports, newest first."""
    state = read_choice(ReportState, "state") or ReportState.OPEN
    settled = state is ReportState.SETTLED
    reports = chat.list_reports(settled=settled, place=read_place())
    data = {"reports": reports.as_data(), "open": chat.count_open_reports()}
    return render_answer("admin/live.html", data, state=state, states=list(ReportState))


@bp.post("/live/reports/<int(max=9223372036854775807):report_id>/settle")
@allow(ADMINS)
@limited("account")
def live_settle(report_id: int) -> Response:
    """Settle all reports of a message; with ``remove``, delete the message too."""
    removing = read_fields().flag("remove")
    chat.close_report(report_id, current_actor(), removing=removing)
    return respond_done("Message deleted." if removing else "Report dismissed.", url_for("admin.live"))
