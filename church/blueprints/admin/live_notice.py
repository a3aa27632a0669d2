"""Send a notice to everyone who has a live page open."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, url_for

from church.blueprints.admin.area import bp, render_answer
from church.errors import FieldErrors
from church.services import live_broadcast
from church.web.error_pages import wants_json
from church.web.forms import read_fields
from church.web.rate_limits import limited
from church.web.responses import current_actor, respond_done
from church.web.route_access import ADMINS, allow

_AUDIENCES = (
    ("members", "members"),
    ("all", "everyone signed in"),
    ("admins", "admins"),
)


@bp.get("/live/notice")
@allow(ADMINS)
@limited("page")
def live_notice() -> Response:
    """Show the form."""
    return _show_form({}, {})


@bp.post("/live/notice")
@allow(ADMINS)
@limited("account")
def live_notify() -> Response:
    """Send the notice."""
    sent = read_fields()
    title, url = (
        sent.text("title", 2 * live_broadcast.MAX_LENGTH),
        sent.text("url", 2 * live_broadcast.MAX_LENGTH, required=False),
    )
    audience = sent.text("audience", 16)
    try:
        sent.check()
        live_broadcast.send_admin_notice(title, url, audience, current_actor())
    except FieldErrors as error:
        if wants_json():
            raise
        return _show_form(sent.shown("title", "url", "audience"), error.errors, error.status)
    return respond_done("Notice sent.", url_for("admin.live_notice"))


def _show_form(values: Mapping[str, str], errors: Mapping[str, str], status: int = 200) -> Response:
    data = {"audiences": [name for name, _ in _AUDIENCES]}
    form = {"values": values, "errors": errors, "options": _AUDIENCES, "most": live_broadcast.MAX_LENGTH}
    return render_answer("admin/live_notice.html", data, status, **form)
