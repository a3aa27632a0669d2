"""Subscribing and paying: pricing, checkout, the member's portal and invoices, plan changes, and Stripe's webhook.

People and programs use the same addresses: a request that prefers JSON, or sends it, gets JSON.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

from flask import Blueprint, Response, flash, jsonify, make_response, redirect, render_template, request, session
from werkzeug.exceptions import NotFound, RequestEntityTooLarge
from werkzeug.wrappers import Response as AnyResponse

from church import telemetry
from church.config import current_settings
from church.errors import ConflictError, FieldErrors, UnavailableError
from church.extensions import db
from church.services import billing, chat, videos
from church.services.access import Access
from church.services.billing import MemberAlreadyError, PaidAlreadyError
from church.services.pages import current_pages
from church.web import headers, identity
from church.web.error_pages import wants_json
from church.web.forms import read_fields, safe_next
from church.web.identity import viewer_or_unavailable
from church.web.rate_limits import limited
from church.web.responses import View, keep_private, require_account, respond_done, to_json_data
from church.web.route_access import EVERYONE, MEMBERS, SIGNED_IN, allow

bp = Blueprint("stripe", __name__, url_prefix="/stripe")
bp.after_request(keep_private)

MACHINES = frozenset({"stripe.webhook"})
"""Endpoints for programs: they check a signature instead of a CSRF token, and answer during maintenance."""

_PRICING = "/stripe/pricing"
_SUCCESS = "/stripe/success"
_ACCOUNT = "/auth/account"
_NEXT_KEY = "after_checkout"
_LONGEST_ID = 255
_LONGEST_TIME = 12
_MOST_OPENED = 3
_CHANGED = {
    "now": "Your plan is now {plan}.",
    "later": "Your plan changes to {plan} at the end of the period you paid for.",
    "keep": "You keep {plan}.",
}


def _page(template: str, **context: Any) -> Response:
    """Render a page whose forms may redirect to Stripe."""
    headers.allow_form_targets(billing.payment_origins())
    return make_response(render_template(template, **context))


def _to_stripe(address: str) -> AnyResponse:
    """Send the member to a page of Stripe's.

    The form's Content-Security-Policy allows redirects to Stripe's own hosts only. For a custom domain of the
    operator's, a page of ours links there.
    """
    if wants_json():
        return jsonify(url=address)
    parts = urlsplit(address)
    if f"{parts.scheme}://{parts.netloc}" in billing.payment_origins():
        return redirect(address, 303)
    return make_response(render_template("stripe/onward.html", address=address))


def _flash_errors(to: str) -> Callable[[View], View]:
    """Show a view's conflicts and field errors to a person at ``to``; programs get them as problem+json."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def guarded(**address: Any) -> AnyResponse:
            try:
                return view(**address)
            except (ConflictError, FieldErrors) as error:
                if wants_json():
                    raise
                message = " ".join(error.errors.values()) if isinstance(error, FieldErrors) else str(error)
                flash(message, "error")
                return redirect(to, 303)

        return guarded

    return decorate


@bp.app_template_global("premium_offer")
def _premium_offer() -> billing.PremiumOffer | None:
    """What premium costs for the viewer; None while the database does not answer: pages show their public part."""
    account = identity.viewer()
    try:
        return billing.read_offer(account.user_id if account is not None else None)
    except UnavailableError:
        return None


# -- subscribe --------------------------------------------------------------------------------------------------------


@bp.get("/pricing")
@allow(EVERYONE)
@limited("page")
@db.snapshot()
def pricing() -> Response:
    """Show the plans, by month or by year, and a member's own status."""
    member = viewer_or_unavailable()
    status = billing.read_membership_status(member.user_id) if member is not None else None
    plans = billing.list_plans(status.currency if status else None) if current_settings().payments else []
    wanted = request.args.get("interval") or (status.interval if status else None)
    interval = wanted if wanted in billing.INTERVALS else billing.INTERVALS[0]
    if wants_json():
        return jsonify(plans=to_json_data(plans), membership=to_json_data(status), payments=current_settings().payments)
    way_back = safe_next(request.args.get("next", "")[:1000]) or ""
    context = {"plans": plans, "status": status, "interval": interval, "way_back": way_back}
    return _page("stripe/pricing.html", payments=current_settings().payments, **context)


@bp.post("/checkout")
@allow(MEMBERS)
@limited("checkout")
@_flash_errors(_PRICING)
def checkout() -> AnyResponse:
    """Start a checkout on Stripe's page; ``next`` is where the member continues afterwards."""
    form = read_fields()
    price, way_back = form.text("price", _LONGEST_ID), form.text("next", 1000, required=False)
    form.check()
    try:
        address = billing.start_checkout(require_account(), price)
    except PaidAlreadyError as error:
        if wants_json() or not error.session:
            raise
        return redirect(f"{_SUCCESS}?session_id={quote(error.session)}", 303)
    except MemberAlreadyError:
        if wants_json():
            raise
        return redirect(f"/stripe/change?price={quote(price)}", 303)
    if way_back := safe_next(way_back) or "":
        session[_NEXT_KEY] = way_back
    return _to_stripe(address)


@bp.get("/success")
@allow(SIGNED_IN)
@limited("page")
def success() -> AnyResponse:
    """Show how the checkout went. Opening this page grants nothing: only the webhook does."""
    stripe_session = request.args.get("session_id", "")
    usable = 0 < len(stripe_session) <= _LONGEST_ID
    arrival = billing.read_checkout_result(require_account().user_id, stripe_session) if usable else None
    if arrival is None:
        raise NotFound
    if arrival.state == "done":
        identity.refresh_viewer()  # so that the next page is premium, whichever worker serves it
    if wants_json():
        return jsonify(state=arrival.state, membership=to_json_data(arrival.status))
    way_back = safe_next(session.get(_NEXT_KEY, "")) or "/pages/"
    opened = _list_opened() if arrival.state == "done" and arrival.status.premium else None
    return _page("stripe/success.html", arrival=arrival, way_back=way_back, opened=opened)


def _list_opened() -> dict[str, Any]:
    """List what premium has just opened for the member, newest first, and the newest invoice."""
    member = require_account()
    return {
        "pages": current_pages().list_newest(Access.PREMIUM, _MOST_OPENED),
        "films": videos.list_newest_of(Access.PREMIUM, _MOST_OPENED),
        "rooms": [room for room in chat.list_rooms(member) if room.access == Access.PREMIUM],
        "invoice": next(iter(billing.list_invoices(member.user_id)), None),
    }


@bp.get("/cancel")
@allow(EVERYONE)
@limited("page")
def cancel() -> AnyResponse:
    """Show the page for a checkout that was left without paying."""
    return jsonify(state="cancelled") if wants_json() else _page("stripe/cancel.html")


# -- manage -----------------------------------------------------------------------------------------------------------


@bp.post("/portal")
@allow(SIGNED_IN)
@limited("checkout")
@_flash_errors(_ACCOUNT)
def portal() -> AnyResponse:
    """Open Stripe's portal, to replace the card, cancel or resume; with ``subscription``, to cancel that one.

    A member who has yet to confirm a changed email may open it too: everyone who pays can cancel.
    """
    form = read_fields()
    subscription = form.text("subscription", _LONGEST_ID, required=False)
    form.check()
    return _to_stripe(billing.open_portal(require_account(), subscription or None))


@bp.get("/invoices")
@allow(SIGNED_IN)
@limited("page")
@db.snapshot()
def invoices() -> AnyResponse:
    """List the member's invoices, with links to Stripe's pages of each."""
    member = require_account()
    status, listed = billing.read_membership_status(member.user_id), billing.list_invoices(member.user_id)
    if wants_json():
        return jsonify(membership=to_json_data(status), invoices=to_json_data(listed))
    return _page("stripe/invoices.html", status=status, invoices=listed)


@bp.get("/change")
@allow(MEMBERS)
@limited("checkout")
@_flash_errors(_PRICING)
def preview() -> AnyResponse:
    """Show what changing to ``price`` costs and when it happens, as calculated by Stripe."""
    price = request.args.get("price", "")
    if not 0 < len(price) <= _LONGEST_ID:
        raise FieldErrors({"price": "Choose a plan first."})
    change_preview = billing.preview_change(require_account(), price)
    return (
        jsonify(to_json_data(change_preview)) if wants_json() else _page("stripe/change.html", preview=change_preview)
    )


@bp.post("/change")
@allow(MEMBERS)
@limited("checkout")
@_flash_errors(_PRICING)
def change() -> AnyResponse:
    """Change the plan for the amount that the preview showed at the time ``at``, with 3-D Secure where required."""
    form = read_fields()
    price, at = form.text("price", _LONGEST_ID), form.text("at", _LONGEST_TIME)
    if at and not (at.isascii() and at.isdecimal()):
        form.errors.setdefault("at", "Invalid time. Check the amount first.")
    form.check()
    changed = billing.change_plan(require_account(), price, int(at))
    if changed.confirm_at is not None:
        if wants_json():
            return jsonify(url=changed.confirm_at)
        return _page("stripe/confirm.html", changed=changed)
    return respond_done(_CHANGED[changed.kind].format(plan=changed.plan_name), _ACCOUNT)


# -- webhook ----------------------------------------------------------------------------------------------------------


@bp.post("/webhook")
@allow(EVERYONE)
@limited("webhook")
@telemetry.never_scan_body
def webhook() -> tuple[Response, int]:
    """Process one of Stripe's events.

    Answers 2xx when it is done, 400 for a bad signature or no JSON, 413 beyond 256 KiB, and 5xx where Stripe is to
    send it again.
    """
    request.max_content_length = billing.LARGEST_EVENT
    try:
        raw = request.get_data(cache=False)
    except RequestEntityTooLarge:
        telemetry.track_stripe_webhook("other", "failed", reason="larger than 256 KiB")
        raise
    try:
        outcome = billing.process_webhook(raw, request.headers.get("Stripe-Signature"))
    except UnavailableError as error:
        return jsonify(status="failed", reason=str(error)), error.status
    return jsonify(status=outcome.status, reason=outcome.reason), outcome.http
