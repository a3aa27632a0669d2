"""Close the site to visitors on all hosts, and open it again."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, current_app, url_for

from church.blueprints.admin.area import Group, bp, render_answer, section
from church.errors import FieldErrors
from church.services import maintenance as service
from church.web import maintenance as web_maintenance
from church.web.error_pages import wants_json
from church.web.forms import Fields, read_fields
from church.web.rate_limits import limited
from church.web.responses import current_actor, require_account, respond_done
from church.web.route_access import ADMINS, allow


@bp.get("/maintenance")
@section("Maintenance", Group.SYSTEM, 70)
@allow(ADMINS)
@limited("page")
def maintenance() -> Response:
    """Show whether the site is closed, and the form with what visitors see now: the reason and the minutes left."""
    announcement = web_maintenance.find_state(current_app).site
    if announcement is None:
        return _show({}, {})
    left = service.minutes_left(announcement)
    return _show({"reason": announcement.reason, "minutes": str(left) if left else ""}, {})


@bp.post("/maintenance/on")
@allow(ADMINS)
@limited("account")
def begin_maintenance() -> Response:
    """Close the site on all hosts, or change the announcement."""
    sent = read_fields()
    reason, minutes = sent.text("reason", 2 * service.MAX_REASON_LENGTH, required=False), _read_minutes(sent)
    try:
        sent.check()
        announcement = service.make_announcement(reason, minutes, require_account().ref)
    except FieldErrors as error:
        if wants_json():
            raise
        return _show(sent.shown("reason", "minutes"), error.errors, error.status)
    web_maintenance.begin_for_all(announcement, current_actor())
    return respond_done("The site is closed to visitors.", url_for("admin.maintenance"))


@bp.post("/maintenance/off")
@allow(ADMINS)
@limited("account")
def end_maintenance() -> Response:
    """Open the site on all hosts except those that are closed on their own."""
    web_maintenance.end_for_all(current_actor())
    return respond_done("Maintenance of all hosts has ended.", url_for("admin.maintenance"))


def _read_minutes(sent: Fields) -> int | None:
    """The announced length; None if the field is empty."""
    return sent.number("minutes", service.MAX_MINUTES) if sent.has("minutes") else None


def _show(values: Mapping[str, str], errors: Mapping[str, str], status: int = 200) -> Response:
    state = web_maintenance.find_state(current_app)
    data = {"site": state.site, "host": state.host, "remembered": state.remembered}
    form = {"values": values, "errors": errors, "most": service.MAX_REASON_LENGTH}
    return render_answer("admin/maintenance.html", data, status, **form)
