"""Stripe's objects in the words of our tables: pure, and content with fields that are missing.

Shapes are those of the API version that the SDK pins. Ids may come as the objects that they name (expanded).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from church.services.billing.stripe.client import Obj

ENDED = frozenset({"canceled", "incomplete_expired"})


def ref(value: Any) -> str | None:
    """The id of an object that may be expanded."""
    found = value.get("id") if isinstance(value, dict) else value
    return found if isinstance(found, str) and found else None


def part(obj: Any, *names: str) -> Any:
    """What is at the end of ``names`` in nested objects; None where the way ends early."""
    for name in names:
        obj = obj.get(name) if isinstance(obj, dict) else None
    return obj


def rows(obj: Any, *names: str) -> list[Obj]:
    """The objects of a list that is a part of ``obj``; none where it is not expanded."""
    found = part(obj, *names, "data")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def moment(seconds: Any) -> datetime | None:
    """A time as Stripe writes it."""
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) and seconds > 0 else None


def link(address: Any) -> str | None:
    """An address that a page may link to."""
    return address if isinstance(address, str) and address.startswith(("https://", "http://")) else None


def first_moment(*candidates: Any) -> datetime:
    """The first that is there, else the beginning of time: some column wants one."""
    return next((at for at in map(moment, candidates) if at is not None), datetime.fromtimestamp(0, UTC))


def owner_ref(obj: Obj) -> str | None:
    """The member that a session, subscription or customer names, as the checkout wrote it there."""
    found = part(obj, "metadata", "church_user") or obj.get("client_reference_id")
    return found if isinstance(found, str) else None


def plan_of_product(product: Any) -> str | None:
    """The plan that an expanded product is; None for one of something else."""
    found = part(product, "metadata", "church_plan")
    return found[:40] if isinstance(found, str) and found else None


def customer_values(obj: Obj) -> dict[str, Any]:
    """Columns of ``Customer``."""
    card = card_values(part(obj, "invoice_settings", "default_payment_method"))
    return {"delinquent": bool(obj.get("delinquent")), **card}


def card_values(method: Any) -> dict[str, Any]:
    """What members are shown of the card that renewals are paid with; nothing for another or no method."""
    card = part(method, "card")
    if not isinstance(card, dict):
        return {}
    month, year = card.get("exp_month"), card.get("exp_year")
    expires = f"{month:02}/{year}" if isinstance(month, int) and isinstance(year, int) else None
    return {"card_brand": card.get("brand"), "card_last4": card.get("last4"), "card_expires": expires}


def product_values(obj: Obj) -> dict[str, Any]:
    """Columns of ``Product`` but for its plan."""
    order = part(obj, "metadata", "church_order")
    features = (part(one, "name") for one in obj.get("marketing_features") or [])
    return {
        "name": obj.get("name") or "",
        "description": obj.get("description") or "",
        "features": [name for name in features if isinstance(name, str)],
        "position": int(order) if isinstance(order, str) and order.isdecimal() and len(order) < 6 else 0,
        "active": bool(obj.get("active")),
    }


def price_values(obj: Obj) -> dict[str, Any]:
    """Columns of ``Price``; the days of trial are the price's own, or its metadata's, or its product's."""
    recurring = obj.get("recurring")
    days = (part(obj, "metadata", "church_trial_days"), part(obj, "product", "metadata", "church_trial_days"))
    written = next((int(one) for one in days if isinstance(one, str) and one.isdecimal() and len(one) < 4), 0)
    return {
        "stripe_product": ref(obj.get("product")) or "",
        "amount": obj.get("unit_amount"),
        "currency": str(obj.get("currency")),
        "interval": part(recurring, "interval"),
        "interval_count": part(recurring, "interval_count") or 1,
        "trial_days": part(recurring, "trial_period_days") or written,
        "tax_behavior": obj.get("tax_behavior") or "unspecified",
        "active": bool(obj.get("active")) and recurring is not None,
        "created_at": first_moment(obj.get("created")),
    }
