"""Memberships: who subscribes to what, and how that stands."""

from __future__ import annotations

from flask import Response

from church.access import ADMINS, allow
from church.blueprints.admin.area import answer, bp, section
from church.blueprints.admin.asked import PAGE, listed, number, one_of
from church.limits import limited
from church.services import billing, billing_admin
from church.services.billing_admin import SubscriptionStatus


@bp.get("/membership")
@section("Membership", 25)
@allow(ADMINS)
@limited("page")
def membership() -> Response:
    """The subscriptions in a status, newest first."""
    status = one_of(SubscriptionStatus, "status")
    found = listed(billing.subscriptions(status=status, before_id=number("before"), limit=PAGE + 1))
    data = {"subscriptions": found, "counts": billing_admin.subscription_counts()}
    return answer("admin/membership.html", data, chosen=status, statuses=list(SubscriptionStatus))
