"""The first page of the admin area."""

from __future__ import annotations

from flask import Response

from church.access import ADMINS, allow
from church.blueprints.admin.area import answer, bp, section
from church.config import current_settings
from church.limits import limited
from church.services.overview import overview


@bp.get("/")
@section("Overview", 10)
@allow(ADMINS)
@limited("page")
def glance() -> Response:
    """Health, version, numbers and the last errors."""
    return answer("admin/overview.html", {"overview": overview(current_settings())})
