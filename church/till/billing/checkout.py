"""Checkout: compute the total, apply promotion codes, take the payment and start the subscription."""

from __future__ import annotations

from church.till.billing.cards import ACTION_REQUIRED, PAID, Card, attach_card, try_card
from church.till.billing.charging import record_failed_charge
from church.till.billing.invoicing import compute_discount
from church.till.billing.lines import get_product_name
from church.till.billing.periods import DAY
from church.till.billing.subscribing import add_months, start_subscription
from church.till.desk import Till
from church.till.http.errors import TillError
from church.till.store import Obj


def get_order(till: Till, session: Obj) -> Obj:
    """Return the order of a session: price, quantity, trial and metadata."""
    return till.get("till.order", f"order_{session['id']}")


def get_recurring_price(till: Till, identity: str, param: str) -> Obj:
    """Return a price that can be subscribed to. Raises TillError for any other."""
    price = till.get("price", identity, param)
    if not price["active"]:
        raise TillError("The price specified is inactive. This field only accepts active prices.", param=param)
    if price["recurring"] is None:
        raise TillError("You must provide at least one recurring price in `subscription` mode.", param=param)
    return price


def compute_totals(till: Till, session: Obj) -> Obj:
    """Compute what is due now: nothing with a trial, less with a discount."""
    order = get_order(till, session)
    price = till.get("price", order["price"])
    currency = price["currency"]
    due = 0 if order["trial_days"] else price["unit_amount"] * order["quantity"]
    coupons = [till.get("coupon", discount["coupon"]) for discount in session["discounts"]]
    discounted = sum(compute_discount(due, coupon, currency) for coupon in coupons)
    session.update(
        amount_subtotal=due,
        amount_total=due - discounted,
        currency=currency,
        total_details={"amount_discount": discounted, "amount_shipping": 0, "amount_tax": 0},
    )
    item = till.make(
        "item",
        amount_discount=discounted,
        amount_subtotal=due,
        amount_total=due - discounted,
        currency=currency,
        description=get_product_name(till, price),
        price=price,
        quantity=order["quantity"],
    )
    till.store.put({**order, "data": [item]})
    return session


def apply_promotion_code(till: Till, session: Obj, code: str) -> bool:
    """Apply a promotion code. Returns False if the code is unknown or not valid for this session."""
    if not session["allow_promotion_codes"]:
        return False
    for promotion in till.store.all("promotion_code", active=True):
        coupon = till.get("coupon", promotion["promotion"]["coupon"])
        same_currency = coupon["currency"] in {None, session["currency"]}
        if promotion["code"].casefold() == code.strip().casefold() and coupon["valid"] and same_currency:
            discounts = [{"coupon": coupon["id"], "promotion_code": promotion["id"]}]
            till.store.put(compute_totals(till, {**session, "discounts": discounts}))
            return True
    return False


def needs_card(session: Obj) -> bool:
    """Tell whether the session needs a card."""
    return bool(session["payment_method_collection"] != "if_required" or session["amount_total"])


def pay_session(till: Till, session: Obj, card: Card | None, email: str, *, approved: bool = False) -> str:
    """Subscribe with ``card`` and return the result of the payment. ``approved``: 3-D Secure was passed."""
    free = card is None and not needs_card(session)
    result = PAID if free else try_card(till, card, present=True)
    if result == ACTION_REQUIRED and approved:
        result = PAID
    if result == PAID:
        _complete(till, session, card, email)
    elif session["amount_total"]:
        intent = till.make("payment_intent", amount=session["amount_total"], currency=session["currency"])
        record_failed_charge(till, till.add(intent, "payment_intent.created"), None, result)
    return result


def _complete(till: Till, session: Obj, card: Card | None, email: str) -> None:
    order = get_order(till, session)
    customer = _find_or_create_customer(till, session, email)
    method = attach_card(till, card, customer["id"])["id"] if card else None
    discounts = [_redeem(till, session, discount, customer["id"]) for discount in session["discounts"]]
    subscription = start_subscription(
        till,
        customer["id"],
        till.get("price", order["price"]),
        order["quantity"],
        method,
        trial_end=till.now + order["trial_days"] * DAY if order["trial_days"] else None,
        discounts=discounts,
        description=order["description"],
        metadata=order["metadata"],
        trial_settings={"end_behavior": {"missing_payment_method": order["missing"]}},
    )
    for discount in discounts:
        till.change(discount, subscription=subscription["id"])
    till.change(
        session,
        "checkout.session.completed",
        customer=customer["id"],
        customer_details=_customer_details(customer),
        invoice=subscription["latest_invoice"],
        payment_status="paid" if session["amount_total"] else "no_payment_required",
        status="complete",
        subscription=subscription["id"],
        url=None,
    )


def _find_or_create_customer(till: Till, session: Obj, email: str) -> Obj:
    if session["customer"]:
        return till.get("customer", session["customer"])
    customer = till.make(
        "customer", email=session["customer_email"] or email, invoice_prefix=session["id"][-8:].upper()
    )
    return till.add(customer, "customer.created")


def _customer_details(customer: Obj) -> Obj:
    names = ("address", "email", "name", "phone", "tax_exempt")
    empty: Obj = {"business_name": None, "individual_name": None, "tax_ids": []}
    return {**empty, **{name: customer[name] for name in names}}


def _redeem(till: Till, session: Obj, discount: Obj, customer: str) -> Obj:
    """Turn a session's discount into one of the customer, and count the use of coupon and code."""
    if discount["promotion_code"]:
        promotion = till.get("promotion_code", discount["promotion_code"])
        till.change(promotion, "promotion_code.updated", times_redeemed=promotion["times_redeemed"] + 1)
    code = discount["promotion_code"]
    return redeem_coupon(till, discount["coupon"], customer, checkout_session=session["id"], promotion_code=code)


def redeem_coupon(till: Till, coupon_id: str, customer: str | None, **values: object) -> Obj:
    """Make a discount of a coupon, and count its use."""
    coupon = till.get("coupon", coupon_id, "coupon")
    months = coupon["duration_in_months"]
    till.change(coupon, "coupon.updated", times_redeemed=coupon["times_redeemed"] + 1)
    made = till.make(
        "discount",
        customer=customer,
        end=add_months(till.now, months) if months else None,
        source={"coupon": coupon["id"], "type": "coupon"},
        start=till.now,
        **values,
    )
    return till.add(made)


def close_expired_session(till: Till, session: Obj) -> Obj:
    """Expire a session, so that it can no longer be paid."""
    return till.change(session, "checkout.session.expired", status="expired", url=None)
