"""Checkout sessions for subscriptions."""

from __future__ import annotations

from church.till.billing.checkout import expire, price_of, reckon
from church.till.billing.periods import DAY
from church.till.desk import Desk
from church.till.http.api import endpoint
from church.till.http.errors import TillError
from church.till.http.expand import line_items
from church.till.http.lists import PAGING, page
from church.till.http.params import Params
from church.till.store import Obj

_KEPT = "billing_address_collection client_reference_id customer_email locale submit_type"
_IGNORED = (
    "adaptive_pricing automatic_tax branding_settings consent_collection custom_text customer_update origin_context "
    "payment_method_types phone_number_collection tax_id_collection ui_mode"
)
_OWN = (
    "allow_promotion_codes cancel_url customer discounts expires_at line_items metadata mode "
    "payment_method_collection subscription_data success_url"
)
_SUBSCRIPTION = "billing_mode description metadata trial_end trial_period_days trial_settings"


@endpoint("POST", "/checkout/sessions")
def create_session(till: Desk, params: Params) -> Obj:
    """A page on which somebody subscribes to one price."""
    params.only(f"{_KEPT} {_IGNORED} {_OWN}")
    if params.needed("mode") != "subscription":
        raise TillError("The test till knows checkouts of mode `subscription` alone.", param="mode")
    if params.text("customer") and params.text("customer_email"):
        raise TillError("You may only specify one of these parameters: customer, customer_email.", param="customer")
    params.needed("success_url")
    made = till.make("checkout.session", **{name: params.text(name) for name in _KEPT.split()})
    if customer := params.text("customer"):
        made["customer"] = till.get("customer", customer, "customer")["id"]
    made["automatic_tax"] = _tax(params, made)
    made.update(
        allow_promotion_codes=params.flag("allow_promotion_codes"),
        cancel_url=params.link("cancel_url"),
        success_url=params.link("success_url"),
        customer_creation=None if customer else "always",
        expires_at=_expiry(till, params),
        metadata=params.texts_by_name("metadata"),
        payment_method_collection=params.choice("payment_method_collection", "always", "if_required"),
        url=f"{till.address}/checkout/{made['id']}",
    )
    order = {"id": f"order_{made['id']}", "object": "till.order", **_order(till, params)}
    till.store.put(order)
    made["discounts"] = _discounts(till, params)
    return till.keep(reckon(till, made))


def _tax(params: Params, made: Obj) -> Obj:
    """Taken down, and reckoned as nothing; of a known customer an address is wanted, as at Stripe."""
    if not params.table("automatic_tax").only("enabled liability").flag("enabled"):
        return dict(made["automatic_tax"])
    if made["customer"] and not {"address", "shipping"} & set(params.table("customer_update").names):
        raise TillError(
            "Automatic tax calculation in Checkout requires a valid address on the Customer.",
            "customer_tax_location_invalid",
        )
    return {**made["automatic_tax"], "enabled": True, "status": "complete"}


def _expiry(till: Desk, params: Params) -> int:
    at = params.number("expires_at") or till.now + DAY
    if not till.now + 1800 <= at <= till.now + DAY:
        raise TillError("The `expires_at` timestamp must be at least 30 minutes and at most 24 hours from now.")
    return at


def _order(till: Desk, params: Params) -> Obj:
    """What the subscription will be: price, quantity, trial, metadata."""
    rows = params.rows("line_items")
    if len(rows) != 1:
        raise TillError("The test till sells one line item at a time.", param="line_items")
    rows[0].only("price quantity")
    price = price_of(till, rows[0].needed("price"), "line_items[0][price]")
    data = params.table("subscription_data").only(_SUBSCRIPTION)
    days, end = data.number("trial_period_days"), data.number("trial_end")
    behaviour = data.table("trial_settings").table("end_behavior")
    return {
        "price": price["id"],
        "quantity": rows[0].number("quantity") or 1,
        "trial_days": days if end is None else max(1, -((till.now - end) // DAY)),
        "metadata": data.texts_by_name("metadata"),
        "description": data.text("description"),
        "missing": behaviour.choice("missing_payment_method", "create_invoice", "cancel", "pause"),
    }


def _discounts(till: Desk, params: Params) -> list[Obj]:
    rows = params.rows("discounts")
    if rows and params.flag("allow_promotion_codes"):
        raise TillError("You may only specify one of these parameters: allow_promotion_codes, discounts.")
    found = []
    for row in rows:
        row.only("coupon promotion_code")
        code = row.text("promotion_code")
        promotion = till.get("promotion_code", code, "discounts[0][promotion_code]") if code else None
        coupon = promotion["promotion"]["coupon"] if promotion else row.needed("coupon")
        found.append({"coupon": till.get("coupon", coupon, "coupon")["id"], "promotion_code": code})
    return found


@endpoint("GET", "/checkout/sessions/<session>")
def get_session(till: Desk, params: Params, session: str) -> Obj:
    """One session."""
    return till.get("checkout.session", session)


@endpoint("GET", "/checkout/sessions/<session>/line_items")
def get_line_items(till: Desk, params: Params, session: str) -> Obj:
    """What it is for."""
    return line_items(till, till.get("checkout.session", session))


@endpoint("POST", "/checkout/sessions/<session>/expire")
def expire_session(till: Desk, params: Params, session: str) -> Obj:
    """Close an open one."""
    found = till.get("checkout.session", session)
    if found["status"] != "open":
        raise TillError(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of '
            f"`{found['status']}`."
        )
    return expire(till, found)


@endpoint("GET", "/checkout/sessions")
def list_sessions(till: Desk, params: Params) -> Obj:
    """Sessions, by customer, subscription, status."""
    params.only(f"{PAGING} customer status subscription customer_details")
    email = params.table("customer_details").text("email")
    return page(
        till,
        params,
        "checkout.session",
        "/v1/checkout/sessions",
        lambda one: email is None or (one["customer_details"] or {}).get("email") == email,
        customer=params.text("customer"),
        status=params.text("status"),
        subscription=params.text("subscription"),
    )
