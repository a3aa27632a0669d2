"""Endpoint of customer portal sessions."""

from __future__ import annotations

from church.till.desk import Till
from church.till.http.api import endpoint
from church.till.http.params import Params
from church.till.store import Obj


@endpoint("POST", "/billing_portal/sessions")
def create_portal(till: Till, params: Params) -> Obj:
    """Create a portal session: a page to manage card, invoices and subscription."""
    params.allow("configuration customer locale return_url")
    customer = till.get("customer", params.required("customer"), "customer")
    session = till.make(
        "billing_portal.session",
        customer=customer["id"],
        locale=params.text("locale"),
        return_url=params.link("return_url"),
    )
    session["url"] = f"{till.address}/portal/{session['id']}"
    return till.add(session, "billing_portal.session.created")
