"""Create invoice lines: for a whole period, for a trial, and for the prorations of a change of plan."""

from __future__ import annotations

from church.till.billing.amounts import share_amount
from church.till.billing.periods import format_day
from church.till.desk import Till
from church.till.store import Obj


def get_item(subscription: Obj) -> Obj:
    """Return the item of a subscription; the till's subscriptions have exactly one."""
    item: Obj = subscription["items"]["data"][0]
    return item


def get_product_name(till: Till, price: Obj) -> str:
    """Return the name of a price's product."""
    product = till.store.get(price["product"])
    return str(product["name"] if product else price["product"])


def make_line(
    till: Till, subscription: Obj, price: Obj, quantity: int, amount: int, text: str, span: tuple[int, int]
) -> Obj:
    """Create an invoice line of ``amount`` for the period ``span``."""
    return till.make(
        "line_item",
        amount=amount,
        subtotal=amount,
        currency=price["currency"],
        description=text,
        quantity=quantity,
        period={"start": span[0], "end": span[1]},
        parent=_parent(subscription),
        pricing={
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        subscription=subscription["id"],
    )


def _parent(subscription: Obj) -> Obj:
    details = {
        "invoice_item": None,
        "proration": False,
        "proration_details": {"credited_items": None},
        "subscription": subscription["id"],
        "subscription_item": get_item(subscription)["id"],
    }
    return {
        "type": "subscription_item_details",
        "invoice_item_details": None,
        "subscription_item_details": details,
    }


def make_period_line(till: Till, subscription: Obj, price: Obj, quantity: int, span: tuple[int, int]) -> Obj:
    """Create the line of a whole period."""
    text = f"{quantity} × {get_product_name(till, price)} (per {price['recurring']['interval']})"  # noqa: RUF001 (as Stripe)
    return make_line(till, subscription, price, quantity, price["unit_amount"] * quantity, text, span)


def make_trial_line(till: Till, subscription: Obj, price: Obj, quantity: int, span: tuple[int, int]) -> Obj:
    """Create the line of a trial, which costs nothing."""
    text = f"Trial period for {get_product_name(till, price)}"
    return make_line(till, subscription, price, quantity, 0, text, span)


def make_unused_time_line(till: Till, subscription: Obj, at: int) -> Obj:
    """Create the credit for the rest of the current period."""
    item = get_item(subscription)
    text = f"Unused time on {get_product_name(till, item['price'])} after {format_day(at)}"
    return _proration(till, subscription, item["price"], item["quantity"], at, text, -1)


def make_remaining_time_line(till: Till, subscription: Obj, price: Obj, quantity: int, at: int) -> Obj:
    """Create the charge for the rest of the current period at a new price."""
    text = f"Remaining time on {get_product_name(till, price)} after {format_day(at)}"
    return _proration(till, subscription, price, quantity, at, text, 1)


def _proration(till: Till, subscription: Obj, price: Obj, quantity: int, at: int, text: str, sign: int) -> Obj:
    item = get_item(subscription)
    start, end = item["current_period_start"], item["current_period_end"]
    left = min(max(end - at, 0), end - start)
    amount = sign * share_amount(price["unit_amount"] * quantity, left, end - start, price["currency"])
    proration = make_line(till, subscription, price, quantity, amount, text, (at, end))
    proration["discountable"] = False
    proration["parent"]["subscription_item_details"]["proration"] = True
    return proration
