"""To Stripe's checkout, and back from it."""

from __future__ import annotations

from urllib.parse import quote

from flask import jsonify, redirect, request, session
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from church.blueprints.stripe.answers import PRICING, onward, page, told
from church.blueprints.stripe.blueprint import bp
from church.services import billing
from church.services.billing import MemberAlreadyError, PaidAlreadyError
from church.web import identity
from church.web.error_pages import wants_json
from church.web.forms import fields, safe_next
from church.web.rate_limits import limited
from church.web.responses import as_data, signed_in
from church.web.route_access import EVERYONE, MEMBERS, SIGNED_IN, allow

_WAY_BACK = "after_checkout"
_LONGEST_ID = 255
_SUCCESS = "/stripe/success"


@bp.post("/checkout")
@allow(MEMBERS)
@limited("checkout")
@told(PRICING)
def checkout() -> AnyResponse:
    """Subscribe, on Stripe's page; ``next`` is where the member wants to be afterwards."""
    form = fields()
    price, way_back = form.text("price", _LONGEST_ID), form.text("next", 1000, required=False)
    form.check()
    try:
        address = billing.start_checkout(signed_in(), price)
    except PaidAlreadyError as error:
        if wants_json() or not error.session:
            raise
        return redirect(f"{_SUCCESS}?session_id={quote(error.session)}", 303)
    except MemberAlreadyError:
        if wants_json():
            raise
        return redirect(f"/stripe/change?price={quote(price)}", 303)
    if way_back := safe_next(way_back) or "":
        session[_WAY_BACK] = way_back
    return onward(address)


@bp.get("/success")
@allow(SIGNED_IN)
@limited("page")
def success() -> AnyResponse:
    """Back from Stripe: waits for its webhook, and says so. That somebody comes here opens nothing."""
    asked = request.args.get("session_id", "")
    found = billing.read_arrival(signed_in().user_id, asked) if 0 < len(asked) <= _LONGEST_ID else None
    if found is None:
        raise NotFound
    if found.state == "done":
        identity.renew()  # whichever worker is next, it knows what was paid
    if wants_json():
        return jsonify(state=found.state, membership=as_data(found.status))
    way_back = safe_next(session.get(_WAY_BACK, "")) or "/pages/"
    return page("stripe/success.html", arrival=found, way_back=way_back)


@bp.get("/cancel")
@allow(EVERYONE)
@limited("page")
def cancel() -> AnyResponse:
    """Back from Stripe without having paid."""
    return jsonify(state="cancelled") if wants_json() else page("stripe/cancel.html")
