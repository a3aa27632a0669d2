"""What the items of a subscription cost in its currency, before discounts and tax, without I/O.

Sources: https://docs.stripe.com/api/prices/object (``currency_options``, ``transform_quantity``), and
https://docs.stripe.com/billing/subscriptions/multiple-products. None is an amount that can't be known before
the period ends, such as that of a metered or tiered price.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

StripeObject = dict[str, Any]


def currency_of(subscription: StripeObject) -> str:
    """Return the currency that a subscription is charged in; its prices may have another as their default."""
    items = (subscription.get("items") or {}).get("data") or [{}]
    return str(subscription.get("currency") or (items[0].get("price") or {}).get("currency"))


def get_quantity(item: StripeObject) -> int:
    """Return the quantity of an item, which may be 0; 1 where it has none."""
    quantity = item.get("quantity")
    return quantity if isinstance(quantity, int) else 1


def compute_list_amount(subscription: StripeObject) -> int | None:
    """Return the sum of all items for one period; None where one of them is unknown."""
    items = (subscription.get("items") or {}).get("data") or []
    amounts = [compute_item_amount(item, currency_of(subscription)) for item in items if isinstance(item, dict)]
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if amounts and len(known) == len(amounts) else None


def compute_item_amount(item: StripeObject, currency: str) -> int | None:
    """Return the amount of one item for one period, in ``currency``."""
    price = item.get("price")
    unit = _unit_amount(price, currency) if isinstance(price, dict) else None
    if unit is None or not isinstance(price, dict) or (price.get("recurring") or {}).get("usage_type") == "metered":
        return None
    count = _transform(get_quantity(item), price.get("transform_quantity"))
    return int((unit * count).quantize(Decimal(1), ROUND_HALF_UP))


def _unit_amount(price: StripeObject, currency: str) -> Decimal | None:
    """Return the amount of one unit: the price's own in its default currency, else that of the currency's option."""
    if price.get("currency") in {None, currency}:
        return _exact_amount(price)
    return _exact_amount((price.get("currency_options") or {}).get(currency) or {})


def _exact_amount(place: StripeObject) -> Decimal | None:
    """Read an amount, which may have fractions of a minor unit (``unit_amount_decimal``)."""
    amount = place.get("unit_amount")
    if isinstance(amount, int):
        return Decimal(amount)
    try:
        return Decimal(str(place["unit_amount_decimal"])) if place.get("unit_amount_decimal") is not None else None
    except InvalidOperation:
        return None


def _transform(quantity: int, how: Any) -> int:
    """Divide the quantity as the price wants it, such as one unit for every ten begun."""
    by = how.get("divide_by") if isinstance(how, dict) else None
    if not isinstance(by, int) or by < 1:
        return quantity
    return -(-quantity // by) if how.get("round") == "up" else quantity // by
