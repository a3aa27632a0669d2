"""Endpoints of invoice payments, payment intents and charges."""

from __future__ import annotations

from church.till.desk import Till
from church.till.http.api import endpoint
from church.till.http.lists import PAGING, list_page
from church.till.http.params import Params
from church.till.store import Obj


@endpoint("GET", "/invoice_payments/<payment>")
def get_invoice_payment(till: Till, params: Params, payment: str) -> Obj:
    """Return a payment of an invoice."""
    return till.get("invoice_payment", payment)


@endpoint("GET", "/invoice_payments")
def list_invoice_payments(till: Till, params: Params) -> Obj:
    """List payments of invoices, by invoice, status and payment intent."""
    params.allow(f"{PAGING} invoice payment status")
    payment = params.table("payment").allow("type payment_intent")
    return list_page(
        till,
        params,
        "invoice_payment",
        "/v1/invoice_payments",
        invoice=params.text("invoice"),
        status=params.text("status"),
        payment__payment_intent=payment.text("payment_intent"),
    )


@endpoint("GET", "/payment_intents/<intent>")
def get_intent(till: Till, params: Params, intent: str) -> Obj:
    """Return a payment intent."""
    return till.get("payment_intent", intent)


@endpoint("GET", "/payment_intents")
def list_intents(till: Till, params: Params) -> Obj:
    """List payment intents, by customer."""
    params.allow(f"{PAGING} customer")
    return list_page(till, params, "payment_intent", "/v1/payment_intents", customer=params.text("customer"))


@endpoint("GET", "/charges/<charge>")
def get_charge(till: Till, params: Params, charge: str) -> Obj:
    """Return a charge."""
    return till.get("charge", charge)


@endpoint("GET", "/charges")
def list_charges(till: Till, params: Params) -> Obj:
    """List charges, by customer and payment intent."""
    params.allow(f"{PAGING} customer payment_intent")
    intent = params.text("payment_intent")
    return list_page(till, params, "charge", "/v1/charges", customer=params.text("customer"), payment_intent=intent)
