"""Endpoint of customer portal sessions."""

from __future__ import annotations

from church.till.billing.subscribing import ENDED
from church.till.desk import Till
from church.till.http.api import endpoint
from church.till.http.errors import TillError
from church.till.http.params import Params
from church.till.store import Obj


@endpoint("POST", "/billing_portal/sessions")
def create_portal(till: Till, params: Params) -> Obj:
    """Create a portal session: a page to manage card, invoices and subscription."""
    params.allow("configuration customer flow_data locale return_url")
    customer = till.get("customer", params.required("customer"), "customer")
    session = till.make(
        "billing_portal.session",
        customer=customer["id"],
        flow=_read_flow(till, params, customer["id"]) if "flow_data" in params else None,
        locale=params.text("locale"),
        return_url=params.link("return_url"),
    )
    session["url"] = f"{till.address}/portal/{session['id']}"
    return till.add(session, "billing_portal.session.created")


def _read_flow(till: Till, params: Params, customer: str) -> Obj:
    """Read a deep link; the till knows the one that asks whether to cancel a subscription."""
    flow = params.table("flow_data").allow("subscription_cancel type")
    kind = flow.choice("type", "subscription_cancel")
    cancel = flow.table("subscription_cancel").allow("subscription")
    found = till.get("subscription", cancel.required("subscription"), "flow_data[subscription_cancel][subscription]")
    if found["customer"] != customer or found["status"] in ENDED or found["cancel_at"] is not None:
        raise TillError("This subscription can't be canceled.", param="flow_data[subscription_cancel][subscription]")
    empty = dict.fromkeys(("subscription_pause", "subscription_update", "subscription_update_confirm"))
    after = {"hosted_confirmation": None, "redirect": None, "type": "portal_homepage"}
    return {
        **empty,
        "after_completion": after,
        "subscription_cancel": {"retention": None, "subscription": found["id"]},
        "type": kind,
    }
