"""What a member looks after: the card and the subscription at Stripe's portal, the invoices here."""

from __future__ import annotations

from flask import jsonify
from werkzeug.wrappers import Response as AnyResponse

from church.blueprints.stripe.answers import ACCOUNT, onward, page, told
from church.blueprints.stripe.blueprint import bp
from church.services import billing
from church.web.error_pages import wants_json
from church.web.rate_limits import limited
from church.web.responses import as_data, signed_in
from church.web.route_access import SIGNED_IN, allow


@bp.post("/portal")
@allow(SIGNED_IN)
@limited("checkout")
@told(ACCOUNT)
def portal() -> AnyResponse:
    """Replace the card, cancel, resume. Open to an address that is to be confirmed anew: whoever pays may leave."""
    return onward(billing.open_portal(signed_in()))


@bp.get("/invoices")
@allow(SIGNED_IN)
@limited("page")
def invoices() -> AnyResponse:
    """Every invoice, with links to Stripe's pages of it."""
    found = signed_in()
    status, shown = billing.status_of(found.user_id), billing.invoices_of(found.user_id)
    if wants_json():
        return jsonify(membership=as_data(status), invoices=as_data(shown))
    return page("stripe/invoices.html", status=status, invoices=shown)
