"""What the site runs with: every setting, without the values of secrets."""

from __future__ import annotations

from flask import Response

from church.blueprints.admin.area import Group, bp, render_answer, section
from church.config import current_settings
from church.services.admin_overview import list_settings
from church.web.rate_limits import limited
from church.web.route_access import ADMINS, allow


@bp.get("/settings")
@section("Settings", Group.SYSTEM, 60, "s")
@allow(ADMINS)
@limited("page")
def settings() -> Response:
    """List the settings with their values, and which differ from their default."""
    return render_answer("admin/settings.html", {"settings": list_settings(current_settings())})
