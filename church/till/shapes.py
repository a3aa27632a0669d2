"""Fields and default values of each kind of API object, and functions that create objects.

tests/unit/till/test_shapes.py compares them with the classes of the SDK, for the version ``API_VERSION``.
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


def new_id(kind: str) -> str:
    """Return a new id with Stripe's prefix for this kind of object."""
    return f"{_PREFIXES.get(kind, kind)}_{''.join(secrets.choice(_LETTERS) for _ in range(24))}"


def make_object(kind: str, **values: Any) -> Obj:
    """Create an object. Raises KeyError for a field that this kind does not have."""
    obj = copy.deepcopy(SHAPES[kind])
    obj["id"] = new_id(kind)
    obj["object"] = kind
    for name, value in values.items():
        if name not in obj:
            raise KeyError(f"{kind} has no {name}")
        obj[name] = value
    return dict(sorted(obj.items()))


def make_list(data: list[Obj], url: str, more: bool = False) -> Obj:
    """Return ``data`` as a list object of the API."""
    return {"object": "list", "data": data, "has_more": more, "url": url}


def make_legacy_plan(price: Obj) -> Obj:
    """Return the legacy plan that a subscription item has beside its price."""
    same = ("active", "billing_scheme", "created", "currency", "id", "livemode", "metadata", "nickname", "product")
    recurring = price["recurring"]
    return make_object(
        "plan",
        **{name: price[name] for name in same},
        amount=price["unit_amount"],
        amount_decimal=price["unit_amount_decimal"],
        interval=recurring["interval"],
        interval_count=recurring["interval_count"],
    )
