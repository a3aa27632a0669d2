"""The first page of the admin area."""

from __future__ import annotations

from flask import Response

from church.blueprints.admin.area import Group, bp, render_answer, section
from church.config import current_settings
from church.services.admin_overview import read_overview
from church.web.rate_limits import limited
from church.web.route_access import ADMINS, allow


@bp.get("/")
@section("Overview", Group.SITE, 10, "o")
@allow(ADMINS)
@limited("page")
def glance() -> Response:
    """Show health, version, counts and the last errors."""
    return render_answer("admin/overview.html", {"overview": read_overview(current_settings())})
