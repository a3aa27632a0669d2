"""``expand[]``: ids in an answer become the objects that they name, and parts that are left out come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from church.till.http.errors import TillError
from church.till.shapes import listed
from church.till.store import Obj

if TYPE_CHECKING:
    from church.till.desk import Desk

_DEEPEST = 4  # levels, as at Stripe


def _payments(till: Desk, invoice: Obj) -> Obj:
    found = list(till.store.all("invoice_payment", invoice=invoice["id"]))
    return listed(found, f"/v1/invoice_payments?invoice={invoice['id']}")


def _refunds(till: Desk, charge: Obj) -> Obj:
    return listed(list(till.store.all("refund", charge=charge["id"])), f"/v1/charges/{charge['id']}/refunds")


def _subscriptions(till: Desk, customer: Obj) -> Obj:
    found = [one for one in till.store.all("subscription", customer=customer["id"]) if one["status"] != "canceled"]
    return listed(found, f"/v1/customers/{customer['id']}/subscriptions")


def line_items(till: Desk, session: Obj) -> Obj:
    """What a checkout is for."""
    kept = till.store.get(f"order_{session['id']}")
    return listed(kept["data"] if kept else [], f"/v1/checkout/sessions/{session['id']}/line_items")


_LEFT_OUT: dict[tuple[str, str], Callable[[Desk, Obj], Any]] = {
    ("invoice", "payments"): _payments,
    ("charge", "refunds"): _refunds,
    ("customer", "subscriptions"): _subscriptions,
    ("checkout.session", "line_items"): line_items,
}


def expand(till: Desk, answer: Obj, paths: list[str]) -> Obj:
    """``answer`` with all ``paths`` expanded. Raises TillError for one that leads nowhere."""
    for path in paths:
        parts = path.split(".")
        if len([part for part in parts if part != "data"]) > _DEEPEST:
            raise TillError(f"You cannot expand more than {_DEEPEST} levels of a property: {path}", param="expand")
        _walk(till, answer, parts, path)
    return answer


def _walk(till: Desk, place: Any, parts: list[str], path: str) -> None:
    if not parts or place is None:
        return
    if isinstance(place, list):
        for one in place:
            _walk(till, one, parts, path)
        return
    name, left_out = parts[0], _LEFT_OUT.get((place.get("object", ""), parts[0]))
    if left_out is not None:
        place.setdefault(name, left_out(till, place))
    elif name not in place:
        raise TillError(f"This property cannot be expanded ({path}).", param="expand")
    else:
        place[name] = _opened(till, place[name])
    _walk(till, place[name], parts[1:], path)


def _opened(till: Desk, value: Any) -> Any:
    if isinstance(value, list):
        return [_opened(till, one) for one in value]
    return (till.store.get(value) or value) if isinstance(value, str) else value
