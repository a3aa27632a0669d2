"""The audit log: who changed what on which account."""

from __future__ import annotations

from flask import Response

from church.blueprints.admin.area import Group, bp, render_answer, section
from church.blueprints.admin.list_filters import read_place, read_text
from church.services import audit as log
from church.web.rate_limits import limited
from church.web.route_access import ADMINS, allow


@bp.get("/audit")
@section("Audit", Group.SYSTEM, 50, "a")
@allow(ADMINS)
@limited("page")
def audit() -> Response:
    """List the entries, newest first; optionally of one action or about one member."""
    action, ref = read_text("action"), read_text("member")
    entries = log.list_entries(action or None, ref or None, read_place())
    return render_answer(
        "admin/audit.html", {"entries": entries.as_data(), "actions": log.ACTIONS}, action=action, member=ref
    )
