"""Subscriptions: list them by status, and end one."""

from __future__ import annotations

from flask import Response, url_for

from church.blueprints.admin.area import Group, bp, render_answer, section
from church.blueprints.admin.list_filters import read_choice, read_place, read_text
from church.blueprints.admin.member_page import show_member
from church.errors import ConflictError
from church.models.billing import SubscriptionStatus
from church.services import billing
from church.web.error_pages import wants_json
from church.web.forms import read_fields
from church.web.rate_limits import limited
from church.web.responses import current_actor, respond_done
from church.web.route_access import ADMINS, allow


@bp.get("/membership")
@section("Money", Group.SITE, 30, "b")
@allow(ADMINS)
@limited("page")
def membership() -> Response:
    """List the subscriptions, newest first; optionally those with one status, or of members with ``several``."""
    status, several = read_choice(SubscriptionStatus, "status"), read_text("several") == "1"
    subscriptions = billing.list_subscriptions(status=status, several=several, place=read_place())
    data = {"subscriptions": subscriptions.as_data(), "counts": billing.count_subscriptions()}
    return render_answer(
        "admin/money/subscriptions.html", data, chosen=status, several=several, statuses=list(SubscriptionStatus)
    )


@bp.post("/members/<ref>/subscriptions/end")
@allow(ADMINS)
@limited("account")
def member_end_subscription(ref: str) -> Response:
    """End the account's ``subscription`` when its period ends."""
    sent = read_fields()
    stripe_id = sent.text("subscription", 255)
    sent.check()
    try:
        ends = billing.end_subscription(ref, stripe_id, current_actor())
    except ConflictError as error:
        if wants_json():
            raise
        return show_member(ref, str(error), error.status)
    when = f" on {ends:%Y-%m-%d}" if ends else " with its period"
    return respond_done(f"The subscription ends{when}.", url_for("admin.member", ref=ref), subscription=stripe_id)
