"""The health of each part of the site, what is wrong with its content, and the last errors of this host."""

from __future__ import annotations

from flask import Response

from church.blueprints.admin.area import Group, bp, render_answer, section
from church.config import current_settings
from church.services.admin_overview import read_health
from church.web.rate_limits import limited
from church.web.route_access import ADMINS, allow


@bp.get("/health")
@section("Health", Group.SYSTEM, 10, "h")
@allow(ADMINS)
@limited("page")
def health() -> Response:
    """Show version, the state of each part, pages that are left out, and the last errors."""
    return render_answer("admin/health.html", {"health": read_health(current_settings())})
