"""Reckon what the next invoice of a subscription takes, where Stripe can't be asked: an honest amount, or None.

Item discounts are taken off first, then the subscription's, or the customer's where the subscription has none. A
coupon for some products applies to them alone. Source: https://docs.stripe.com/billing/subscriptions/coupons
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from church.services.billing.stripe.client import StripeObject
from church.services.billing.stripe.item_amounts import compute_item_amount, currency_of
from church.services.billing.stripe.objects import get_id, get_list, get_nested, list_next_phases, to_datetime

_USED = timedelta(hours=1)
"""A discount that began so long after its period did was not on that period's invoice."""


class UnknownAmountError(Exception):
    """The amount depends on something that is not told, such as tax or the usage of a meter."""


@dataclass
class _Line:
    item: StripeObject
    left: Decimal
    """What the discounts have left so far."""

    @property
    def product(self) -> str | None:
        return get_id(get_nested(self.item, "price", "product"))


def find_renewal_time(obj: StripeObject) -> datetime | None:
    """Return when the next invoice is made: items with different periods are invoiced when the first one ends."""
    ends = [to_datetime(item.get("current_period_end")) for item in get_list(obj, "items")]
    return min(filter(None, ends), default=None)


def reckon_renewal(obj: StripeObject, customer: StripeObject | None) -> int | None:
    """Return what the next invoice takes from the payer, as far as the objects tell; None where they don't.

    ``customer`` brings its discount and its balance.
    """
    at = find_renewal_time(obj)
    try:
        obj = _in_next_phase(obj, at)
        lines = _lines(obj, at)
        for line in lines:
            _take_off(obj, [line], line.item.get("discounts"), at)
        _take_off(obj, lines, obj.get("discounts") or _customer_discounts(customer), at)
        total = sum((_with_tax(obj, line) for line in lines), Decimal(0))
    except UnknownAmountError:
        return None
    amount = int(total.quantize(Decimal(1), ROUND_HALF_UP))
    return max(0, amount + _balance(customer, currency_of(obj)))


def _in_next_phase(obj: StripeObject, at: datetime | None) -> StripeObject:
    """Return the subscription as its schedule changes it by the renewal."""
    due = [phase for phase in list_next_phases(obj) if _is_by(to_datetime(phase.get("start_date")), at)]
    if not due:
        return obj
    if not all(isinstance(get_nested(item, "price"), dict) for item in due[-1].get("items") or []):
        raise UnknownAmountError
    known = {get_id(discount): discount for discount in obj.get("discounts") or []}
    discounts = [known.get(get_id(entry.get("discount"))) for entry in due[-1].get("discounts") or []]
    return {**obj, "items": {"data": due[-1].get("items") or []}, "discounts": discounts}


def _is_by(start: datetime | None, at: datetime | None) -> bool:
    return start is not None and at is not None and start <= at


def _lines(obj: StripeObject, at: datetime | None) -> list[_Line]:
    """Make the lines of the items whose period ends at the renewal."""
    lines = []
    for item in get_list(obj, "items"):
        if at is None or to_datetime(item.get("current_period_end")) in {None, at}:
            amount = compute_item_amount(item, currency_of(obj))
            if amount is None:
                raise UnknownAmountError
            lines.append(_Line(item, Decimal(amount)))
    if not lines:
        raise UnknownAmountError
    return lines


def _customer_discounts(customer: StripeObject | None) -> list[Any]:
    discount = (customer or {}).get("discount")
    return [discount] if discount else []


def _take_off(obj: StripeObject, lines: list[_Line], discounts: Iterable[Any] | None, at: datetime | None) -> None:
    """Take the discounts off the lines they apply to, each off what the earlier ones left."""
    for discount in discounts or []:
        coupon = get_nested(discount, "source", "coupon") or get_nested(discount, "coupon")
        if not isinstance(coupon, dict):
            raise UnknownAmountError
        if not _applies(obj, discount, coupon, at):
            continue
        products = get_nested(coupon, "applies_to", "products")
        meant = [line for line in lines if not products or line.product in products]
        if isinstance(percent := coupon.get("percent_off"), int | float):
            for line in meant:
                line.left -= line.left * Decimal(str(percent)) / 100
        else:
            _take_amount(meant, _amount_off(coupon, currency_of(obj)))


def _take_amount(lines: list[_Line], amount: int) -> None:
    rest = Decimal(amount)
    for line in lines:
        part = min(line.left, rest)
        line.left -= part
        rest -= part


def _amount_off(coupon: StripeObject, currency: str) -> int:
    """Return the coupon's amount in ``currency``; 0 where it has none in it, for then it takes nothing off."""
    if coupon.get("currency") == currency:
        return int(coupon.get("amount_off") or 0)
    return int(get_nested(coupon, "currency_options", currency, "amount_off") or 0)


def _applies(obj: StripeObject, discount: Any, coupon: StripeObject, at: datetime | None) -> bool:
    """Whether a discount is on the next invoice: one for a single payment was on the last, except in a trial."""
    end = to_datetime(get_nested(discount, "end"))
    if end is not None and at is not None and end <= at:
        return False
    if coupon.get("duration") != "once" or obj.get("status") == "trialing":
        return True
    start = to_datetime(get_nested(discount, "start"))
    periods = [to_datetime(item.get("current_period_start")) for item in get_list(obj, "items")]
    began = max(filter(None, periods), default=None)
    return start is not None and began is not None and start > began + _USED


def _with_tax(obj: StripeObject, line: _Line) -> Decimal:
    """Add tax that comes on top: by fixed rates, which the objects tell; what Stripe calculates itself is unknown."""
    included = get_nested(line.item, "price", "tax_behavior") == "inclusive"
    if get_nested(obj, "automatic_tax", "enabled") and not included and line.left:
        raise UnknownAmountError
    rates = line.item.get("tax_rates") or obj.get("default_tax_rates") or []
    if not all(isinstance(rate, dict) and isinstance(rate.get("percentage"), int | float) for rate in rates):
        raise UnknownAmountError
    on_top = sum((Decimal(str(rate["percentage"])) for rate in rates if not rate.get("inclusive")), Decimal(0))
    return line.left + line.left * on_top / 100


def _balance(customer: StripeObject | None, currency: str) -> int:
    """Return the customer's balance, which the next invoice takes in: negative is a credit."""
    found = customer or {}
    balance = found.get("balance")
    return balance if isinstance(balance, int) and found.get("currency") in {None, currency} else 0
