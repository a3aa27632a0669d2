"""Endpoints of checkout sessions for subscriptions."""

from __future__ import annotations

from church.till.billing.checkout import close_expired_session, compute_totals, get_recurring_price
from church.till.billing.periods import DAY
from church.till.desk import Till
from church.till.http.api import endpoint
from church.till.http.errors import TillError
from church.till.http.expand import list_line_items
from church.till.http.lists import PAGING, list_page
from church.till.http.params import Params
from church.till.store import Obj

_STORED = "billing_address_collection client_reference_id customer_email locale submit_type"
_IGNORED = (
    "adaptive_pricing automatic_tax branding_settings consent_collection custom_text customer_update origin_context "
    "payment_method_types phone_number_collection tax_id_collection ui_mode"
)
_USED = (
    "allow_promotion_codes cancel_url customer discounts expires_at line_items metadata mode "
    "payment_method_collection subscription_data success_url"
)
_SUBSCRIPTION = "billing_mode description metadata trial_end trial_period_days trial_settings"


@endpoint("POST", "/checkout/sessions")
def create_session(till: Till, params: Params) -> Obj:
    """Create a checkout session: a page to subscribe to one price."""
    params.allow(f"{_STORED} {_IGNORED} {_USED}")
    if params.required("mode") != "subscription":
        raise TillError("The test till supports only checkouts of mode `subscription`.", param="mode")
    if params.text("customer") and params.text("customer_email"):
        raise TillError("You may only specify one of these parameters: customer, customer_email.", param="customer")
    params.required("success_url")
    session = till.make("checkout.session", **{name: params.text(name) for name in _STORED.split()})
    if customer := params.text("customer"):
        session["customer"] = till.get("customer", customer, "customer")["id"]
    session["automatic_tax"] = _tax(params, session)
    session.update(
        allow_promotion_codes=params.flag("allow_promotion_codes"),
        cancel_url=params.link("cancel_url"),
        success_url=params.link("success_url"),
        customer_creation=None if customer else "always",
        expires_at=_expiry(till, params),
        metadata=params.texts_by_name("metadata"),
        payment_method_collection=params.choice("payment_method_collection", "always", "if_required"),
        url=f"{till.address}/checkout/{session['id']}",
    )
    order = {"id": f"order_{session['id']}", "object": "till.order", **_order(till, params)}
    till.store.put(order)
    session["discounts"] = _discounts(till, params)
    return till.add(compute_totals(till, session))


def _tax(params: Params, session: Obj) -> Obj:
    """Return the tax settings; the tax is always zero. An existing customer needs an address, as at Stripe."""
    if not params.table("automatic_tax").allow("enabled liability").flag("enabled"):
        return dict(session["automatic_tax"])
    if session["customer"] and not {"address", "shipping"} & set(params.table("customer_update").names):
        raise TillError(
            "Automatic tax calculation in Checkout requires a valid address on the Customer.",
            "customer_tax_location_invalid",
        )
    return {**session["automatic_tax"], "enabled": True, "status": "complete"}


def _expiry(till: Till, params: Params) -> int:
    at = params.number("expires_at") or till.now + DAY
    if not till.now + 1800 <= at <= till.now + DAY:
        raise TillError("The `expires_at` timestamp must be at least 30 minutes and at most 24 hours from now.")
    return at


def _order(till: Till, params: Params) -> Obj:
    """Return the order: price, quantity, trial and metadata of the future subscription."""
    rows = params.rows("line_items")
    if len(rows) != 1:
        raise TillError("The test till sells one line item at a time.", param="line_items")
    rows[0].allow("price quantity")
    price = get_recurring_price(till, rows[0].required("price"), "line_items[0][price]")
    data = params.table("subscription_data").allow(_SUBSCRIPTION)
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


def _discounts(till: Till, params: Params) -> list[Obj]:
    rows = params.rows("discounts")
    if rows and params.flag("allow_promotion_codes"):
        raise TillError("You may only specify one of these parameters: allow_promotion_codes, discounts.")
    discounts = []
    for row in rows:
        row.allow("coupon promotion_code")
        code = row.text("promotion_code")
        promotion = till.get("promotion_code", code, "discounts[0][promotion_code]") if code else None
        coupon = promotion["promotion"]["coupon"] if promotion else row.required("coupon")
        discounts.append({"coupon": till.get("coupon", coupon, "coupon")["id"], "promotion_code": code})
    return discounts


@endpoint("GET", "/checkout/sessions/<session>")
def get_session(till: Till, params: Params, session: str) -> Obj:
    """Return a session."""
    return till.get("checkout.session", session)


@endpoint("GET", "/checkout/sessions/<session>/line_items")
def get_line_items(till: Till, params: Params, session: str) -> Obj:
    """List the line items of a session."""
    return list_line_items(till, till.get("checkout.session", session))


@endpoint("POST", "/checkout/sessions/<session>/expire")
def expire_session(till: Till, params: Params, session: str) -> Obj:
    """Expire an open session."""
    found = till.get("checkout.session", session)
    if found["status"] != "open":
        raise TillError(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of '
            f"`{found['status']}`."
        )
    return close_expired_session(till, found)


@endpoint("GET", "/checkout/sessions")
def list_sessions(till: Till, params: Params) -> Obj:
    """List sessions, by customer, subscription and status."""
    params.allow(f"{PAGING} customer status subscription customer_details")
    email = params.table("customer_details").text("email")
    return list_page(
        till,
        params,
        "checkout.session",
        "/v1/checkout/sessions",
        lambda session: email is None or (session["customer_details"] or {}).get("email") == email,
        customer=params.text("customer"),
        status=params.text("status"),
        subscription=params.text("subscription"),
    )
