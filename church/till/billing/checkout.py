"""What happens on the checkout page: a code is taken, a card pays or does not, a subscription begins."""

from __future__ import annotations

from church.till.billing.cards import ACTION, PAID, Card, method_of, verdict
from church.till.billing.charging import refuse
from church.till.billing.invoicing import off
from church.till.billing.lines import product_name
from church.till.billing.periods import DAY
from church.till.billing.subscribing import months_after, start
from church.till.desk import Desk
from church.till.http.errors import TillError
from church.till.store import Obj


def order_of(till: Desk, session: Obj) -> Obj:
    """What will be subscribed to."""
    return till.get("till.order", f"order_{session['id']}")


def price_of(till: Desk, identity: str, param: str) -> Obj:
    """A price that can be subscribed to. Raises TillError for another."""
    price = till.get("price", identity, param)
    if not price["active"]:
        raise TillError("The price specified is inactive. This field only accepts active prices.", param=param)
    if price["recurring"] is None:
        raise TillError("You must provide at least one recurring price in `subscription` mode.", param=param)
    return price


def reckon(till: Desk, session: Obj) -> Obj:
    """Set what is to pay now: nothing in a trial, less with a discount."""
    order = order_of(till, session)
    price = till.get("price", order["price"])
    currency, full = price["currency"], price["unit_amount"] * order["quantity"]
    due = 0 if order["trial_days"] else full
    coupons = [till.get("coupon", one["coupon"]) for one in session["discounts"]]
    taken = sum(off(due, coupon, currency) for coupon in coupons)
    session.update(
        amount_subtotal=due,
        amount_total=due - taken,
        currency=currency,
        total_details={"amount_discount": taken, "amount_shipping": 0, "amount_tax": 0},
    )
    item = till.make(
        "item",
        amount_discount=taken,
        amount_subtotal=due,
        amount_total=due - taken,
        currency=currency,
        description=product_name(till, price),
        price=price,
        quantity=order["quantity"],
    )
    till.store.put({**order, "data": [item]})
    return session


def apply_code(till: Desk, session: Obj, code: str) -> bool:
    """Use a promotion code; False if there is none such, or not for this."""
    if not session["allow_promotion_codes"]:
        return False
    for promotion in till.store.all("promotion_code", active=True):
        coupon = till.get("coupon", promotion["promotion"]["coupon"])
        same_currency = coupon["currency"] in {None, session["currency"]}
        if promotion["code"].casefold() == code.strip().casefold() and coupon["valid"] and same_currency:
            used = [{"coupon": coupon["id"], "promotion_code": promotion["id"]}]
            till.store.put(reckon(till, {**session, "discounts": used}))
            return True
    return False


def needs_card(session: Obj) -> bool:
    """Whether one can't subscribe without."""
    return bool(session["payment_method_collection"] != "if_required" or session["amount_total"])


def pay(till: Desk, session: Obj, card: Card | None, email: str, *, approved: bool = False) -> str:
    """Subscribe with ``card``; says what the card said. With 3-D Secure it wants to be ``approved`` first."""
    free = card is None and not needs_card(session)
    said = PAID if free else verdict(till, card, present=True)
    if said == ACTION and approved:
        said = PAID
    if said == PAID:
        _complete(till, session, card, email)
    elif session["amount_total"]:
        intent = till.make("payment_intent", amount=session["amount_total"], currency=session["currency"])
        refuse(till, till.keep(intent, "payment_intent.created"), None, said)
    return said


def _complete(till: Desk, session: Obj, card: Card | None, email: str) -> None:
    order = order_of(till, session)
    customer = _customer(till, session, email)
    method = method_of(till, card, customer["id"])["id"] if card else None
    discounts = [_discount(till, session, one, customer["id"]) for one in session["discounts"]]
    subscription = start(
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
        customer_details=_details(customer),
        invoice=subscription["latest_invoice"],
        payment_status="paid" if session["amount_total"] else "no_payment_required",
        status="complete",
        subscription=subscription["id"],
        url=None,
    )


def _customer(till: Desk, session: Obj, email: str) -> Obj:
    if session["customer"]:
        return till.get("customer", session["customer"])
    made = till.make("customer", email=session["customer_email"] or email, invoice_prefix=session["id"][-8:].upper())
    return till.keep(made, "customer.created")


def _details(customer: Obj) -> Obj:
    names = ("address", "email", "name", "phone", "tax_exempt")
    nothing: Obj = {"business_name": None, "individual_name": None, "tax_ids": []}
    return {**nothing, **{name: customer[name] for name in names}}


def _discount(till: Desk, session: Obj, used: Obj, customer: str) -> Obj:
    coupon = till.get("coupon", used["coupon"])
    months = coupon["duration_in_months"]
    till.change(coupon, "coupon.updated", times_redeemed=coupon["times_redeemed"] + 1)
    if used["promotion_code"]:
        promotion = till.get("promotion_code", used["promotion_code"])
        till.change(promotion, "promotion_code.updated", times_redeemed=promotion["times_redeemed"] + 1)
    made = till.make(
        "discount",
        checkout_session=session["id"],
        customer=customer,
        end=months_after(till.now, months) if months else None,
        promotion_code=used["promotion_code"],
        source={"coupon": coupon["id"], "type": "coupon"},
        start=till.now,
    )
    return till.keep(made)


def expire(till: Desk, session: Obj) -> Obj:
    """Nobody can pay on its page any more."""
    return till.change(session, "checkout.session.expired", status="expired", url=None)
