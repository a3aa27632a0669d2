"""Endpoints of customers and their payment methods."""

from __future__ import annotations

import secrets

from church.till.billing.checkout import redeem_coupon
from church.till.billing.ending import end_subscription
from church.till.desk import Till
from church.till.http.api import endpoint
from church.till.http.errors import TillError
from church.till.http.lists import PAGING, list_page
from church.till.http.params import Params
from church.till.store import Obj

_TEXTS = ("description", "email", "name", "phone")
_FIELDS = "address balance description email invoice_settings metadata name phone preferred_locales shipping tax_exempt"
_ADDRESS = "city country line1 line2 postal_code state"


@endpoint("POST", "/customers")
def create_customer(till: Till, params: Params) -> Obj:
    """Create a customer."""
    params.allow(f"{_FIELDS} payment_method")
    customer = till.make("customer", invoice_prefix=secrets.token_hex(4).upper())
    customer.update(_fields(till, params, customer))
    return till.add(customer, "customer.created")


@endpoint("POST", "/customers/<customer>")
def update_customer(till: Till, params: Params, customer: str) -> Obj:
    """Update a customer."""
    found = till.get("customer", customer)
    return till.change(found, "customer.updated", **_fields(till, params.allow(_FIELDS), found))


def _fields(till: Till, params: Params, before: Obj) -> Obj:
    values: Obj = {name: params.text(name) for name in _TEXTS if name in params}
    if "metadata" in params:
        values["metadata"] = params.texts_by_name("metadata", before["metadata"])
    if "address" in params:
        address = params.table("address").allow(_ADDRESS)
        values["address"] = {name: address.text(name) for name in _ADDRESS.split()}
    if (balance := params.number("balance")) is not None:
        values["balance"] = balance
    if "preferred_locales" in params:
        values["preferred_locales"] = params.texts("preferred_locales")
    if default := params.table("invoice_settings").text("default_payment_method"):
        method = till.get("payment_method", default, "invoice_settings[default_payment_method]")
        values["invoice_settings"] = {**before["invoice_settings"], "default_payment_method": method["id"]}
    return values


@endpoint("POST", "/customers/<customer>/discount")
def add_customer_discount(till: Till, params: Params, customer: str) -> Obj:
    """Give a customer a discount for all invoices, by its ``coupon``: an address of the till's own.

    At Stripe only the dashboard and older versions of the API do this.
    """
    found = till.get("customer", customer)
    discount = redeem_coupon(till, params.allow("coupon").required("coupon"), customer)
    till.change(found, "customer.updated", discount=discount)
    till.emit("customer.discount.created", discount)
    return found


@endpoint("DELETE", "/customers/<customer>/discount")
def delete_customer_discount(till: Till, params: Params, customer: str) -> Obj:
    """Remove a customer's discount."""
    found = till.get("customer", customer)
    discount = found["discount"]
    if discount is None:
        raise TillError("No active discount for this customer.", "resource_missing", "id")
    till.change(found, "customer.updated", discount=None)
    till.emit("customer.discount.deleted", discount)
    return {"id": discount["id"], "object": "discount", "deleted": True}


@endpoint("GET", "/customers/<customer>")
def get_customer(till: Till, params: Params, customer: str) -> Obj:
    """Return a customer; of a deleted one only its id."""
    return till.store.get(customer, "customer") or till.get("customer", customer)


@endpoint("DELETE", "/customers/<customer>")
def delete_customer(till: Till, params: Params, customer: str) -> Obj:
    """Delete a customer and end their subscriptions now."""
    found = till.get("customer", customer)
    for subscription in till.store.all("subscription", customer=customer):
        if subscription["status"] not in {"canceled", "incomplete_expired"}:
            end_subscription(till, subscription, "cancellation_requested")
    till.emit("customer.deleted", found)
    return till.add({"id": customer, "object": "customer", "deleted": True})


@endpoint("GET", "/customers")
def list_customers(till: Till, params: Params) -> Obj:
    """List customers, by email address."""
    params.allow(f"{PAGING} email")
    return list_page(
        till,
        params,
        "customer",
        "/v1/customers",
        lambda customer: "deleted" not in customer,
        email=params.text("email"),
    )


@endpoint("GET", "/customers/<customer>/payment_methods")
def list_customers_methods(till: Till, params: Params, customer: str) -> Obj:
    """List the cards of a customer."""
    till.get("customer", customer)
    params.allow(f"{PAGING} type allow_redisplay")
    url = f"/v1/customers/{customer}/payment_methods"
    return list_page(till, params, "payment_method", url, customer=customer, type=params.text("type"))


@endpoint("GET", "/payment_methods")
def list_methods(till: Till, params: Params) -> Obj:
    """List cards, by customer."""
    params.allow(f"{PAGING} customer type allow_redisplay")
    customer, kind = params.text("customer"), params.text("type")
    return list_page(till, params, "payment_method", "/v1/payment_methods", customer=customer, type=kind)


@endpoint("GET", "/payment_methods/<method>")
def get_method(till: Till, params: Params, method: str) -> Obj:
    """Return a card."""
    return till.get("payment_method", method)
