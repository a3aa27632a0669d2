"""Endpoints of refunds and disputes."""

from __future__ import annotations

from church.till.billing.refunding import refund_charge
from church.till.desk import Till
from church.till.http.api import endpoint
from church.till.http.errors import TillError
from church.till.http.lists import PAGING, list_page
from church.till.http.params import Params
from church.till.store import Obj

_REASONS = ("requested_by_customer", "duplicate", "fraudulent")


@endpoint("POST", "/refunds")
def create_refund(till: Till, params: Params) -> Obj:
    """Refund a charge, all or in part."""
    params.allow("amount charge metadata payment_intent reason")
    charge = params.text("charge")
    if charge is None:
        intent = till.get("payment_intent", params.required("payment_intent"), "payment_intent")
        charge = intent["latest_charge"]
    found = till.get("charge", charge, "charge")
    if (reason := params.text("reason")) not in {None, *_REASONS}:
        raise TillError(f"Invalid reason: must be one of {', '.join(_REASONS)}", param="reason")
    return refund_charge(till, found, params.number("amount"), reason, metadata=params.texts_by_name("metadata"))


@endpoint("GET", "/refunds/<refund_id>")
def get_refund(till: Till, params: Params, refund_id: str) -> Obj:
    """Return a refund."""
    return till.get("refund", refund_id)


@endpoint("GET", "/refunds")
def list_refunds(till: Till, params: Params) -> Obj:
    """List refunds, by charge and payment intent."""
    params.allow(f"{PAGING} charge payment_intent")
    intent = params.text("payment_intent")
    return list_page(till, params, "refund", "/v1/refunds", charge=params.text("charge"), payment_intent=intent)


@endpoint("GET", "/disputes/<dispute>")
def get_dispute(till: Till, params: Params, dispute: str) -> Obj:
    """Return a dispute."""
    return till.get("dispute", dispute)


@endpoint("GET", "/disputes")
def list_disputes(till: Till, params: Params) -> Obj:
    """List disputes, by charge and payment intent."""
    params.allow(f"{PAGING} charge payment_intent")
    intent = params.text("payment_intent")
    return list_page(till, params, "dispute", "/v1/disputes", charge=params.text("charge"), payment_intent=intent)
