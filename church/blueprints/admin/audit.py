"""The audit log: who did what to which account."""

from __future__ import annotations

from flask import Response

from church.access import ADMINS, allow
from church.blueprints.admin.area import answer, bp, section
from church.blueprints.admin.asked import PAGE, listed, number, words
from church.limits import limited
from church.services import audit as log
from church.services.overview_work import audited_actions


@bp.get("/audit")
@section("Audit log", 50)
@allow(ADMINS)
@limited("page")
def audit() -> Response:
    """The entries of an action and about a member, newest first."""
    action, ref = words("action"), words("member")
    found = listed(log.entries(number("before"), action or None, ref or None, PAGE + 1))
    return answer("admin/audit.html", {"entries": found, "actions": audited_actions()}, action=action, member=ref)
