"""Subscriptions: list them by status."""

from __future__ import annotations

from flask import Response

from church.blueprints.admin.area import answer, bp, section
from church.blueprints.admin.list_filters import PAGE, listed, number, one_of
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
    status = one_of(SubscriptionStatus, "status")
    subscriptions = listed(billing.list_subscriptions(status=status, before_id=number("before"), limit=PAGE + 1))
    data = {"subscriptions": subscriptions, "counts": billing.count_subscriptions()}
    return answer("admin/membership.html", data, chosen=status, statuses=list(SubscriptionStatus))
