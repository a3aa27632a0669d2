"""Compare API objects with the type hints of Stripe's SDK: unknown, missing and wrongly typed fields.

The hints say which fields may be null, and list the values of fields with few values; both are checked. Optional
fields look like nullable ones in the hints, so a missing nullable field is no error.
"""

from __future__ import annotations

import decimal
import types
import typing
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

import stripe
from stripe._list_object import ListObject
from stripe._stripe_object import StripeObject, UntypedStripeObject

_OWN = {"_inner_class_types", "_inner_class_dict", "_field_encodings"}
_CLASSES: dict[str, type[StripeObject]] = {
    "balance_transaction": stripe.BalanceTransaction,
    "billing_portal.session": stripe.billing_portal.Session,
    "charge": stripe.Charge,
    "checkout.session": stripe.checkout.Session,
    "coupon": stripe.Coupon,
    "customer": stripe.Customer,
    "discount": stripe.Discount,
    "dispute": stripe.Dispute,
    "event": stripe.Event,
    "invoice": stripe.Invoice,
    "invoice_payment": stripe.InvoicePayment,
    "item": stripe.LineItem,
    "line_item": stripe.InvoiceLineItem,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "plan": stripe.Plan,
    "price": stripe.Price,
    "product": stripe.Product,
    "promotion_code": stripe.PromotionCode,
    "refund": stripe.Refund,
    "subscription": stripe.Subscription,
    "subscription_item": stripe.SubscriptionItem,
    "subscription_schedule": stripe.SubscriptionSchedule,
}


def find_differences(obj: dict[str, Any]) -> list[str]:
    """List the differences between an API object (as JSON) and its SDK class, one per line."""
    if obj.get("deleted"):
        return [] if set(obj) == {"id", "object", "deleted"} else [f"{obj['object']}: more than its id"]
    return list(_check_class(obj, _CLASSES[obj["object"]], obj["object"]))


def _check_class(value: Any, cls: type[StripeObject], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is not a {cls.__name__}"
        return
    hints = {
        name: hint
        for name, hint in cls.__annotations__.items()
        if name not in _OWN and get_origin(hint) is not ClassVar
    }
    for name in value.keys() - hints.keys():
        yield f"{path}.{name}: unknown"
    for name, hint in hints.items():
        if name in value:
            yield from _check_hint(value[name], hint, f"{path}.{name}")
        elif type(None) not in get_args(hint):
            yield f"{path}.{name}: missing"


def _check_hint(value: Any, hint: Any, path: str) -> Iterator[str]:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        yield from _check_union(value, parts, path)
    elif origin is Literal:
        if value not in parts:
            yield f"{path}: {value!r} is none of {parts}"
    elif origin is list:
        for number, item in enumerate(value):
            yield from _check_hint(item, parts[0], f"{path}[{number}]")
    elif origin is ListObject:
        if set(value) - {"object", "data", "has_more", "url"}:
            yield f"{path}: not a list"
        for number, item in enumerate(value["data"]):
            yield from _check_hint(item, parts[0], f"{path}.data[{number}]")
    elif origin is UntypedStripeObject or hint is UntypedStripeObject:
        if not isinstance(value, dict):
            yield f"{path}: {value!r} is not an object"
    elif isinstance(hint, str | typing.ForwardRef) or (isinstance(hint, type) and issubclass(hint, StripeObject)):
        yield from _check_named(value, hint, path)
    else:
        yield from _check_type(value, hint, path)


def _check_union(value: Any, parts: tuple[Any, ...], path: str) -> Iterator[str]:
    if value is None:
        if type(None) not in parts:
            yield f"{path}: null"
        return
    literals = [part for part in parts if get_origin(part) is Literal]
    choices = literals or [part for part in parts if part is not type(None)]
    differences = [list(_check_hint(value, part, path)) for part in choices]
    if all(differences):
        yield from min(differences, key=len)


def _check_named(value: Any, hint: Any, path: str) -> Iterator[str]:
    """Compare with an SDK class, given directly or by a name imported only for type checkers."""
    if isinstance(hint, str | typing.ForwardRef):
        name = hint if isinstance(hint, str) else hint.__forward_arg__
        by_name = {cls.__name__: cls for cls in _CLASSES.values()}
        hint = by_name.get(name.removesuffix("Resource"))
        if hint is None:
            yield f"{path}: the till has no {name}"
            return
    yield from _check_class(value, hint, path)


def _check_type(value: Any, hint: Any, path: str) -> Iterator[str]:
    fits = {
        bool: isinstance(value, bool),
        int: isinstance(value, int) and not isinstance(value, bool),
        float: isinstance(value, int | float) and not isinstance(value, bool),
        str: isinstance(value, str),
        decimal.Decimal: isinstance(value, str | decimal.Decimal),
    }
    if not fits.get(hint, False):
        yield f"{path}: {value!r} is not {hint}"
