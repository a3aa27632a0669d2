"""What each object of the API has, with the values of one that nothing special was asked for.

Held against the classes of the SDK by tests/unit/till/test_shapes.py; the version is that of ``API_VERSION``.
"""

from __future__ import annotations

import copy
import secrets
import string
from typing import Any

from church.till.shapes_billing import BILLING
from church.till.shapes_payments import PAYMENTS
from church.till.store import Obj

API_VERSION = "2026-10-28.endive"
SHAPES: dict[str, Obj] = {**BILLING, **PAYMENTS}
_PREFIXES = {
    "balance_transaction": "txn",
    "billing_portal.session": "bps",
    "charge": "ch",
    "checkout.session": "cs_test",
    "customer": "cus",
    "discount": "di",
    "dispute": "dp",
    "event": "evt",
    "invoice": "in",
    "invoice_payment": "inpay",
    "item": "li",
    "line_item": "il",
    "payment_intent": "pi",
    "payment_method": "pm",
    "price": "price",
    "product": "prod",
    "promotion_code": "promo",
    "refund": "re",
    "subscription": "sub",
    "subscription_item": "si",
    "subscription_schedule": "sub_sched",
}
_LETTERS = string.ascii_letters + string.digits


def identity(kind: str) -> str:
    """A new id, with the prefix that Stripe gives objects of that kind."""
    return f"{_PREFIXES.get(kind, kind)}_{''.join(secrets.choice(_LETTERS) for _ in range(24))}"


def make(kind: str, **values: Any) -> Obj:
    """A new object. Raises KeyError for a field that such an object does not have."""
    made = copy.deepcopy(SHAPES[kind])
    made["id"] = identity(kind)
    made["object"] = kind
    for name, value in values.items():
        if name not in made:
            raise KeyError(f"{kind} has no {name}")
        made[name] = value
    return dict(sorted(made.items()))


def listed(data: list[Obj], url: str, more: bool = False) -> Obj:
    """A list as the API gives it."""
    return {"object": "list", "data": data, "has_more": more, "url": url}


def plan_of(price: Obj) -> Obj:
    """The legacy plan that a subscription item still carries beside its price."""
    same = ("active", "billing_scheme", "created", "currency", "id", "livemode", "metadata", "nickname", "product")
    recurring = price["recurring"]
    return make(
        "plan",
        **{name: price[name] for name in same},
        amount=price["unit_amount"],
        amount_decimal=price["unit_amount_decimal"],
        interval=recurring["interval"],
        interval_count=recurring["interval_count"],
    )
