"""Sessions of the customer portal."""

from __future__ import annotations

from church.till.desk import Desk
from church.till.http.api import endpoint
from church.till.http.params import Params
from church.till.store import Obj


@endpoint("POST", "/billing_portal/sessions")
def create_portal(till: Desk, params: Params) -> Obj:
    """A page where a customer looks after card, invoices and subscription."""
    params.only("configuration customer locale return_url")
    customer = till.get("customer", params.needed("customer"), "customer")
    made = till.make(
        "billing_portal.session",
        customer=customer["id"],
        locale=params.text("locale"),
        return_url=params.link("return_url"),
    )
    made["url"] = f"{till.address}/portal/{made['id']}"
    return till.keep(made, "billing_portal.session.created")
