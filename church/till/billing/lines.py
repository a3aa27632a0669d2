"""Create invoice lines: for a whole period, for a trial, and for the prorations of a change of plan."""

from __future__ import annotations

from church.till.billing.amounts import share_amount
from church.till.billing.periods import format_day
from church.till.desk import Till
from church.till.store import Obj


def list_items(subscription: Obj) -> list[Obj]:
    """Return the items of a subscription, which share one period."""
    items: list[Obj] = subscription["items"]["data"]
    return items


def get_item(subscription: Obj) -> Obj:
    """Return the first item of a subscription: its period is that of all."""
    return list_items(subscription)[0]


def compute_amount(till: Till, price: Obj, quantity: int, currency: str) -> int:
    """Return the amount of a period in ``currency``, for the quantity as the price counts it."""
    how = price["transform_quantity"]
    if how is not None:
        rest = how["round"] == "up" and quantity % how["divide_by"] > 0
        quantity = quantity // how["divide_by"] + rest
    options = {} if price["currency"] == currency else get_currency_options(till, price)
    amount: int = options.get(currency, price)["unit_amount"]
    return amount * quantity


def get_currency_options(till: Till, price: Obj) -> Obj:
    """Return the amounts of a price in each of its currencies."""
    own = {name: price[name] for name in ("tax_behavior", "unit_amount", "unit_amount_decimal")}
    more = till.store.get(f"options_{price['id']}")
    empty = {"custom_unit_amount": None}
    return {price["currency"]: {**own, **empty}, **(more["data"] if more else {})}


def get_product_name(till: Till, price: Obj) -> str:
    """Return the name of a price's product."""
    product = till.store.get(price["product"])
    return str(product["name"] if product else price["product"])


def make_line(
    till: Till,
    subscription: Obj,
    price: Obj,
    quantity: int,
    amount: int,
    text: str,
    span: tuple[int, int],
    item: str | None = None,
) -> Obj:
    """Create an invoice line of ``amount`` for the period ``span``; ``item`` is the item's id, or the first one's."""
    return till.make(
        "line_item",
        amount=amount,
        subtotal=amount,
        currency=subscription["currency"],
        description=text,
        quantity=quantity,
        period={"start": span[0], "end": span[1]},
        parent=_parent(subscription, item or get_item(subscription)["id"]),
        pricing={
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        subscription=subscription["id"],
    )


def _parent(subscription: Obj, item: str) -> Obj:
    details = {
        "invoice_item": None,
        "proration": False,
        "proration_details": {"credited_items": None},
        "subscription": subscription["id"],
        "subscription_item": item,
    }
    return {
        "type": "subscription_item_details",
        "invoice_item_details": None,
        "subscription_item_details": details,
    }


def make_period_line(
    till: Till, subscription: Obj, price: Obj, quantity: int, span: tuple[int, int], item: str | None = None
) -> Obj:
    """Create the line of a whole period."""
    text = f"{quantity} × {get_product_name(till, price)} (per {price['recurring']['interval']})"  # noqa: RUF001 (as Stripe)
    amount = compute_amount(till, price, quantity, subscription["currency"])
    return make_line(till, subscription, price, quantity, amount, text, span, item)


def make_period_lines(till: Till, subscription: Obj, items: list[Obj], span: tuple[int, int]) -> list[Obj]:
    """Create the lines of a whole period, one for each item."""
    return [make_period_line(till, subscription, item["price"], item["quantity"], span, item["id"]) for item in items]


def make_trial_line(
    till: Till, subscription: Obj, price: Obj, quantity: int, span: tuple[int, int], item: str | None = None
) -> Obj:
    """Create the line of a trial, which costs nothing."""
    text = f"Trial period for {get_product_name(till, price)}"
    return make_line(till, subscription, price, quantity, 0, text, span, item)


def make_unused_time_line(till: Till, subscription: Obj, at: int, item: Obj | None = None) -> Obj:
    """Create the credit for the rest of an item's current period."""
    item = item or get_item(subscription)
    text = f"Unused time on {get_product_name(till, item['price'])} after {format_day(at)}"
    return _proration(till, subscription, item["price"], item["quantity"], at, text, -1, item["id"])


def make_remaining_time_line(
    till: Till, subscription: Obj, price: Obj, quantity: int, at: int, item: str | None = None
) -> Obj:
    """Create the charge for the rest of the current period at a new price."""
    text = f"Remaining time on {get_product_name(till, price)} after {format_day(at)}"
    return _proration(till, subscription, price, quantity, at, text, 1, item)


def _proration(
    till: Till, subscription: Obj, price: Obj, quantity: int, at: int, text: str, sign: int, item: str | None
) -> Obj:
    start, end = get_item(subscription)["current_period_start"], get_item(subscription)["current_period_end"]
    left = min(max(end - at, 0), end - start)
    whole = compute_amount(till, price, quantity, subscription["currency"])
    amount = sign * share_amount(whole, left, end - start, subscription["currency"])
    proration = make_line(till, subscription, price, quantity, amount, text, (at, end), item)
    proration["discountable"] = False
    proration["parent"]["subscription_item_details"]["proration"] = True
    return proration
