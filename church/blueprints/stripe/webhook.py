"""Where Stripe says what happened."""

from __future__ import annotations

from flask import Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from church import telemetry
from church.blueprints.stripe.blueprint import bp
from church.errors import UnavailableError
from church.services import billing
from church.web.rate_limits import limited
from church.web.route_access import EVERYONE, allow

MACHINES = frozenset({"stripe.webhook"})
"""Endpoints that show a signature instead of a form's token, and that answer while the site is shut."""


@bp.post("/webhook")
@allow(EVERYONE)
@limited("webhook")
@telemetry.leave_body
def webhook() -> tuple[Response, int]:
    """2xx when it is done, 400 for what is not Stripe's, 413 beyond 256 KiB, 5xx for what is to be sent again."""
    request.max_content_length = billing.LARGEST_EVENT
    try:
        raw = request.get_data(cache=False)
    except RequestEntityTooLarge:
        telemetry.track_stripe_webhook("other", "failed", reason="larger than 256 KiB")
        raise
    try:
        outcome = billing.receive(raw, request.headers.get("Stripe-Signature"))
    except UnavailableError as error:
        return jsonify(status="failed", reason=str(error)), error.status
    return jsonify(status=outcome.status, reason=outcome.reason), outcome.http
