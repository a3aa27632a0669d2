"""Subscriptions: list them by status."""

from __future__ import annotations

from flask import Response

from church.blueprints.admin.area import bp, render_answer, section
from church.blueprints.admin.list_filters import PAGE_SIZE, make_list_page, read_choice, read_number
from church.models.billing import SubscriptionStatus
from church.services import billing
from church.web.rate_limits import limited
from church.web.route_access import ADMINS, allow


@bp.get("/membership")
@section("Membership", 25)
@allow(ADMINS)
@limited("page")
def membership() -> Response:
    """List the subscriptions, newest first; optionally those with one status."""
    status = read_choice(SubscriptionStatus, "status")
    subscriptions = make_list_page(
        billing.list_subscriptions(status=status, before_id=read_number("before"), limit=PAGE_SIZE + 1)
    )
    data = {"subscriptions": subscriptions, "counts": billing.count_subscriptions()}
    return render_answer("admin/membership.html", data, chosen=status, statuses=list(SubscriptionStatus))
