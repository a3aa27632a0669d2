"""Expand responses (``expand[]``): replace ids by their objects and add parts that are left out by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from church.till.billing.invoicing import get_applies_to
from church.till.billing.lines import get_currency_options
from church.till.http.errors import TillError
from church.till.shapes import make_list
from church.till.store import Obj

if TYPE_CHECKING:
    from church.till.desk import Till

_MAX_LEVELS = 4  # as at Stripe


def _payments(till: Till, invoice: Obj) -> Obj:
    payments = list(till.store.all("invoice_payment", invoice=invoice["id"]))
    return make_list(payments, f"/v1/invoice_payments?invoice={invoice['id']}")


def _refunds(till: Till, charge: Obj) -> Obj:
    return make_list(list(till.store.all("refund", charge=charge["id"])), f"/v1/charges/{charge['id']}/refunds")


def _subscriptions(till: Till, customer: Obj) -> Obj:
    every = till.store.all("subscription", customer=customer["id"])
    return make_list(
        [subscription for subscription in every if subscription["status"] != "canceled"],
        f"/v1/customers/{customer['id']}/subscriptions",
    )


def list_line_items(till: Till, session: Obj) -> Obj:
    """List the line items of a checkout session."""
    order = till.store.get(f"order_{session['id']}")
    return make_list(order["data"] if order else [], f"/v1/checkout/sessions/{session['id']}/line_items")


_LEFT_OUT: dict[tuple[str, str], Callable[[Till, Obj], Any]] = {
    ("invoice", "payments"): _payments,
    ("charge", "refunds"): _refunds,
    ("customer", "subscriptions"): _subscriptions,
    ("checkout.session", "line_items"): list_line_items,
    ("price", "currency_options"): get_currency_options,
    ("coupon", "applies_to"): get_applies_to,
}


def expand_paths(till: Till, answer: Obj, paths: list[str]) -> Obj:
    """Expand all ``paths`` in ``answer``. Raises TillError for a path that does not exist."""
    for path in paths:
        parts = path.split(".")
        if len([part for part in parts if part != "data"]) > _MAX_LEVELS:
            raise TillError(f"You cannot expand more than {_MAX_LEVELS} levels of a property: {path}", param="expand")
        _expand_path(till, answer, parts, path)
    return answer


def _expand_path(till: Till, place: Any, parts: list[str], path: str) -> None:
    if not parts or place is None:
        return
    if isinstance(place, dict) and place.get("deleted"):
        return  # of a deleted object Stripe gives its id, whatever is to be expanded
    if isinstance(place, list):
        for item in place:
            _expand_path(till, item, parts, path)
        return
    name, left_out = parts[0], _LEFT_OUT.get((place.get("object", ""), parts[0]))
    if left_out is not None:
        place.setdefault(name, left_out(till, place))
    elif name not in place:
        raise TillError(f"This property cannot be expanded ({path}).", param="expand")
    else:
        place[name] = _load(till, place[name])
    _expand_path(till, place[name], parts[1:], path)


def _load(till: Till, value: Any) -> Any:
    if isinstance(value, list):
        return [_load(till, item) for item in value]
    return (till.store.get(value) or value) if isinstance(value, str) else value
