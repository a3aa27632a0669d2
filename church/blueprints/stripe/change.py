"""Another plan: the amount is shown first."""

from __future__ import annotations

from flask import jsonify, request
from werkzeug.wrappers import Response as AnyResponse

from church.blueprints.stripe.answers import ACCOUNT, PRICING, page, told
from church.blueprints.stripe.blueprint import bp
from church.errors import FieldErrors
from church.services import billing
from church.web.error_pages import wants_json
from church.web.forms import fields
from church.web.rate_limits import limited
from church.web.responses import as_data, done, signed_in
from church.web.route_access import MEMBERS, allow

_LONGEST_ID = 255
_LONGEST_MOMENT = 12
_WORDS = {
    "now": "Your plan is now {plan}.",
    "later": "Your plan changes to {plan} at the end of the period you paid for.",
    "keep": "You keep {plan}.",
}


@bp.get("/change")
@allow(MEMBERS)
@limited("checkout")
@told(PRICING)
def preview() -> AnyResponse:
    """What the change to ``price`` costs and when it comes, by Stripe's reckoning."""
    price = request.args.get("price", "")
    if not 0 < len(price) <= _LONGEST_ID:
        raise FieldErrors({"price": "Choose a plan first."})
    shown = billing.preview_change(signed_in(), price)
    return jsonify(as_data(shown)) if wants_json() else page("stripe/change.html", preview=shown)


@bp.post("/change")
@allow(MEMBERS)
@limited("checkout")
@told(PRICING)
def change() -> AnyResponse:
    """Change it, for the amount that was shown ``at`` that moment; on by way of the bank where that asks."""
    form = fields()
    price, at = form.text("price", _LONGEST_ID), form.text("at", _LONGEST_MOMENT)
    if at and not (at.isascii() and at.isdecimal()):
        form.errors.setdefault("at", "Invalid time. Check the amount first.")
    form.check()
    changed = billing.change_plan(signed_in(), price, int(at))
    if changed.confirm_at is not None:
        if wants_json():
            return jsonify(url=changed.confirm_at)
        return page("stripe/confirm.html", changed=changed)
    return done(_WORDS[changed.kind].format(plan=changed.plan_name), ACCOUNT)
