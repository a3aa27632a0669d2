"""Convert Stripe's objects to columns of our tables, without I/O; missing fields are allowed.

Shapes follow the API version that the SDK pins. Where Stripe expands an id, the object is in its place.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from church.services.billing.stripe.client import StripeObject
from church.services.billing.stripe.item_amounts import (
    compute_item_amount,
    compute_list_amount,
    currency_of,
    get_quantity,
)


def get_id(value: Any) -> str | None:
    """Return the id of an object that may be expanded."""
    found = value.get("id") if isinstance(value, dict) else value
    return found if isinstance(found, str) and found else None


def get_nested(obj: Any, *names: str) -> Any:
    """Look up a nested value by ``names``; None where one is missing."""
    for name in names:
        obj = obj.get(name) if isinstance(obj, dict) else None
    return obj


def get_list(obj: Any, *names: str) -> list[StripeObject]:
    """Return the objects of a nested list; none where it is not expanded."""
    found = get_nested(obj, *names, "data")
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def to_datetime(seconds: Any) -> datetime | None:
    """Convert Stripe's timestamp, in seconds; None where it is missing."""
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) and seconds > 0 else None


def link(address: Any) -> str | None:
    """Return an address that a page may link to; None for any other scheme."""
    return address if isinstance(address, str) and address.startswith(("https://", "http://")) else None


def first_datetime(*candidates: Any) -> datetime:
    """Return the first timestamp that is set, else 1970, for columns that need one."""
    return next((at for at in map(to_datetime, candidates) if at is not None), datetime.fromtimestamp(0, UTC))


def owner_ref(obj: StripeObject) -> str | None:
    """Return the member's ref that the checkout wrote to a session, subscription or customer."""
    found = get_nested(obj, "metadata", "church_user") or obj.get("client_reference_id")
    return found if isinstance(found, str) else None


def plan_of_product(product: Any) -> str | None:
    """Return the plan of an expanded product; None for a product that is not a plan."""
    found = get_nested(product, "metadata", "church_plan")
    return found[:40] if isinstance(found, str) and found else None


def customer_values(obj: StripeObject) -> dict[str, Any]:
    """Columns of ``Customer``: the card that renewals are charged to."""
    return card_values(get_nested(obj, "invoice_settings", "default_payment_method"))


def card_values(method: Any) -> dict[str, Any]:
    """Columns of the card that renewals are charged to; empty for other payment methods."""
    card = get_nested(method, "card")
    if not isinstance(card, dict):
        return {}
    month, year = card.get("exp_month"), card.get("exp_year")
    expires = f"{month:02}/{year}" if isinstance(month, int) and isinstance(year, int) else None
    return {"card_brand": card.get("brand"), "card_last4": card.get("last4"), "card_expires": expires}


def product_values(obj: StripeObject) -> dict[str, Any]:
    """Columns of ``Product`` except its plan."""
    order = get_nested(obj, "metadata", "church_order")
    features = (get_nested(feature, "name") for feature in obj.get("marketing_features") or [])
    return {
        "name": obj.get("name") or "",
        "description": obj.get("description") or "",
        "features": [name for name in features if isinstance(name, str)],
        "position": int(order) if isinstance(order, str) and order.isdecimal() and len(order) < 6 else 0,
        "active": bool(obj.get("active")),
    }


def price_values(obj: StripeObject) -> dict[str, Any]:
    """Columns of ``Price``; trial days are those of the price, its metadata, or its product's metadata."""
    recurring = obj.get("recurring")
    texts = (
        get_nested(obj, "metadata", "church_trial_days"),
        get_nested(obj, "product", "metadata", "church_trial_days"),
    )
    days = next((int(text) for text in texts if isinstance(text, str) and text.isdecimal() and len(text) < 4), 0)
    return {
        "stripe_product": get_id(obj.get("product")) or "",
        "amount": obj.get("unit_amount"),
        "currency": str(obj.get("currency")),
        "currency_amounts": _currency_amounts(obj),
        "interval": get_nested(recurring, "interval"),
        "interval_count": get_nested(recurring, "interval_count") or 1,
        "trial_days": get_nested(recurring, "trial_period_days") or days,
        "tax_behavior": obj.get("tax_behavior") or "unspecified",
        "active": bool(obj.get("active")) and recurring is not None,
        "created_at": first_datetime(obj.get("created")),
    }


def _currency_amounts(price: StripeObject) -> dict[str, int]:
    """Return the amounts of a price in its further currencies, which Stripe gives where they are expanded."""
    options = price.get("currency_options") or {}
    amounts = {name: get_nested(option, "unit_amount") for name, option in options.items()}
    return {name: amount for name, amount in amounts.items() if isinstance(amount, int) and name != price["currency"]}


def subscription_of_invoice(invoice: StripeObject) -> str | None:
    """Return the subscription of an invoice, in current and older versions of the API."""
    return get_id(get_nested(invoice, "parent", "subscription_details", "subscription")) or get_id(
        invoice.get("subscription")
    )


def invoice_values(obj: StripeObject) -> dict[str, Any]:
    """Columns of ``Invoice`` except its owner."""
    return {
        "stripe_subscription": subscription_of_invoice(obj),
        "number": obj.get("number"),
        "status": str(obj.get("status")),
        "currency": str(obj.get("currency")),
        "total": obj.get("total") or 0,
        "amount_paid": obj.get("amount_paid") or 0,
        "amount_remaining": obj.get("amount_remaining") or 0,
        "attempts": obj.get("attempt_count") or 0,
        "problem": _problem(obj),
        "hosted_url": link(obj.get("hosted_invoice_url")),
        "pdf_url": link(obj.get("invoice_pdf")),
        "created_at": first_datetime(obj.get("created")),
        "paid_at": to_datetime(get_nested(obj, "status_transitions", "paid_at")),
        "due_at": to_datetime(obj.get("due_date")),
    }


def _problem(obj: StripeObject) -> str | None:
    if obj.get("status") == "draft":
        error = obj.get("last_finalization_error")
        return str(get_nested(error, "code") or get_nested(error, "type") or "finalization_failed") if error else None
    if obj.get("status") != "open":
        return None
    intents = (get_nested(payment, "payment", "payment_intent", "status") for payment in get_list(obj, "payments"))
    if "requires_action" in intents:
        return "action_required"
    by_hand = obj.get("collection_method") == "send_invoice"
    return "payment_failed" if obj.get("attempt_count") and not by_hand else None


def find_item(obj: StripeObject, item_id: str | None) -> StripeObject:
    """Find the item of a subscription with this id. Without an id, only the item that has no others is meant."""
    items = get_list(obj, "items")
    if item_id is None:
        return items[0] if len(items) == 1 else {}
    return next((item for item in items if item.get("id") == item_id), {})


def subscription_values(
    obj: StripeObject, plan: str, item_id: str | None = None, plan_prices: Collection[str] = ()
) -> dict[str, Any]:
    """Columns of ``Subscription`` except its owner and its renewal; ``item_id`` is the plan's item.

    ``cancel_at`` covers both of Stripe's ways to cancel. ``plan_prices`` are the prices known to be a plan's.
    """
    item = find_item(obj, item_id)
    price: StripeObject = item.get("price") or {}
    period_end = to_datetime(item.get("current_period_end"))
    ends = to_datetime(obj.get("cancel_at")) or (period_end if obj.get("cancel_at_period_end") else None)
    return {
        "status": str(obj.get("status")),
        "plan": plan,
        "stripe_item": item.get("id"),
        "stripe_price": price.get("id"),
        "stripe_product": get_id(price.get("product")),
        "quantity": get_quantity(item),
        "plan_amount": compute_item_amount(item, currency_of(obj)) if item else None,
        "amount": compute_list_amount(obj),
        "currency": currency_of(obj),
        "interval": get_nested(price, "recurring", "interval"),
        "interval_count": get_nested(price, "recurring", "interval_count") or 1,
        "started_at": first_datetime(obj.get("start_date"), obj.get("created")),
        "trial_end": to_datetime(obj.get("trial_end")),
        "current_period_start": to_datetime(item.get("current_period_start")),
        "current_period_end": period_end,
        "cancel_at": ends,
        "ended_at": to_datetime(obj.get("ended_at")),
        "past_due_since": _past_due_since(obj, item),
        "collection_paused": bool(obj.get("pause_collection")),
        "resumes_at": to_datetime(get_nested(obj, "pause_collection", "resumes_at")),
        "collection_method": obj.get("collection_method") or "charge_automatically",
        "latest_invoice": get_id(obj.get("latest_invoice")),
        "created_at": first_datetime(obj.get("created")),
        **_scheduled(obj, price.get("id"), plan_prices),
    }


def _past_due_since(obj: StripeObject, item: StripeObject) -> datetime | None:
    """When the unpaid invoice was due; Stripe does not tell since when a subscription is past due."""
    if obj.get("status") != "past_due":
        return None
    invoice = obj.get("latest_invoice")
    finalized = get_nested(invoice, "status_transitions", "finalized_at")
    due = get_nested(invoice, "due_date")
    return first_datetime(
        due, finalized, get_nested(invoice, "created"), item.get("current_period_start"), obj.get("created")
    )


# -- schedules --------------------------------------------------------------------------------------------------------


def _scheduled(obj: StripeObject, present: Any, plan_prices: Collection[str]) -> dict[str, Any]:
    """Columns of the schedule: the plan's price in its next phase, if that differs."""
    found = {"stripe_schedule": get_id(obj.get("schedule")), "next_price": None, "next_price_at": None}
    for phase in list_next_phases(obj):
        price = _plan_price_of_phase(obj, phase, present, plan_prices)
        if price is not None and price != present:
            return {**found, "next_price": price, "next_price_at": to_datetime(phase.get("start_date"))}
    return found


def list_next_phases(obj: StripeObject) -> list[StripeObject]:
    """List the coming phases of a subscription's schedule, if it is expanded and in force."""
    schedule = obj.get("schedule")
    if get_nested(schedule, "status") not in {"active", "not_started"}:
        return []
    current_end = get_nested(schedule, "current_phase", "end_date") or 0
    return [phase for phase in get_nested(schedule, "phases") or [] if phase.get("start_date", 0) >= current_end]


def list_phase_prices(phase: StripeObject) -> list[str]:
    """List the price ids of a phase's items."""
    return [price for item in phase.get("items") or [] if (price := get_id(get_nested(item, "price"))) is not None]


def _plan_price_of_phase(
    obj: StripeObject, phase: StripeObject, present: Any, plan_prices: Collection[str]
) -> str | None:
    """Find the plan's price in a phase: one known to be a plan's, the present one, or one that is no present add-on."""
    prices = list_phase_prices(phase)
    add_ons = {get_nested(item, "price", "id") for item in get_list(obj, "items")} - {present}
    known = [price for price in prices if price in plan_prices]
    new = [price for price in prices if price not in add_ons]
    return next((price for price in (*known, *new)), None)
