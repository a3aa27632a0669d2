"""What membership costs."""

from __future__ import annotations

from flask import Response, jsonify, request

from church.blueprints.stripe.answers import page
from church.blueprints.stripe.blueprint import bp
from church.config import current_settings
from church.services import billing
from church.web.error_pages import wants_json
from church.web.forms import safe_next
from church.web.identity import known_viewer
from church.web.rate_limits import limited
from church.web.responses import as_data
from church.web.route_access import EVERYONE, allow


@bp.get("/pricing")
@allow(EVERYONE)
@limited("page")
def pricing() -> Response:
    """The plans, by the month or by the year; for a member, how the own one stands."""
    found = known_viewer()
    status = billing.status_of(found.user_id) if found is not None else None
    plans = billing.list_plans(status.currency if status else None) if current_settings().payments else []
    asked = request.args.get("interval") or (status.interval if status else None)
    interval = asked if asked in billing.INTERVALS else billing.INTERVALS[0]
    if wants_json():
        return jsonify(plans=as_data(plans), membership=as_data(status), payments=current_settings().payments)
    way_back = safe_next(request.args.get("next", "")[:1000]) or ""
    context = {"plans": plans, "status": status, "interval": interval, "way_back": way_back}
    return page("stripe/pricing.html", payments=current_settings().payments, **context)
