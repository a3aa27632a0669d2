"""Convert Stripe's objects to columns of our tables, without I/O; missing fields are allowed.

Shapes follow the API version that the SDK pins. Where Stripe expands an id, the object is in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from church.services.billing.stripe.client import StripeObject


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
    """Columns of ``Customer``."""
    card = card_values(get_nested(obj, "invoice_settings", "default_payment_method"))
    return {"delinquent": bool(obj.get("delinquent")), **card}


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
        "interval": get_nested(recurring, "interval"),
        "interval_count": get_nested(recurring, "interval_count") or 1,
        "trial_days": get_nested(recurring, "trial_period_days") or days,
        "tax_behavior": obj.get("tax_behavior") or "unspecified",
        "active": bool(obj.get("active")) and recurring is not None,
        "created_at": first_datetime(obj.get("created")),
    }


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
        "billing_reason": obj.get("billing_reason"),
        "currency": str(obj.get("currency")),
        "total": obj.get("total") or 0,
        "amount_due": obj.get("amount_due") or 0,
        "amount_paid": obj.get("amount_paid") or 0,
        "amount_remaining": obj.get("amount_remaining") or 0,
        "attempts": obj.get("attempt_count") or 0,
        "problem": _problem(obj),
        "hosted_url": link(obj.get("hosted_invoice_url")),
        "pdf_url": link(obj.get("invoice_pdf")),
        "created_at": first_datetime(obj.get("created")),
        "paid_at": to_datetime(get_nested(obj, "status_transitions", "paid_at")),
        "next_attempt_at": to_datetime(obj.get("next_payment_attempt")),
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
    return "payment_failed" if obj.get("attempt_count") else None


def subscription_values(obj: StripeObject, plan: str) -> dict[str, Any]:
    """Columns of ``Subscription`` except its owner; ``cancel_at`` covers both of Stripe's ways to cancel."""
    item: StripeObject = next(iter(get_list(obj, "items")), {})
    price: StripeObject = item.get("price") or {}
    period_end = to_datetime(item.get("current_period_end"))
    quantity = item.get("quantity") or 1
    unit = price.get("unit_amount")
    amount = unit * quantity if isinstance(unit, int) else None
    ends = to_datetime(obj.get("cancel_at")) or (period_end if obj.get("cancel_at_period_end") else None)
    return {
        "status": str(obj.get("status")),
        "plan": plan,
        "stripe_item": item.get("id"),
        "stripe_price": price.get("id"),
        "stripe_product": get_id(price.get("product")),
        "quantity": quantity,
        "amount": amount,
        "renewal_amount": _after_discounts(obj, amount, period_end),
        "currency": str(price.get("currency") or obj.get("currency")),
        "interval": get_nested(price, "recurring", "interval"),
        "interval_count": get_nested(price, "recurring", "interval_count") or 1,
        "started_at": first_datetime(obj.get("start_date"), obj.get("created")),
        "trial_end": to_datetime(obj.get("trial_end")),
        "current_period_start": to_datetime(item.get("current_period_start")),
        "current_period_end": period_end,
        "cancel_at": ends,
        "canceled_at": to_datetime(obj.get("canceled_at")),
        "ended_at": to_datetime(obj.get("ended_at")),
        "past_due_since": _past_due_since(obj),
        "collection_paused": bool(obj.get("pause_collection")),
        "latest_invoice": get_id(obj.get("latest_invoice")),
        "created_at": first_datetime(obj.get("created")),
        **_scheduled(obj, price.get("id")),
    }


def _past_due_since(obj: StripeObject) -> datetime | None:
    """When the unpaid invoice was due; Stripe does not tell since when a subscription is past due."""
    if obj.get("status") != "past_due":
        return None
    invoice = obj.get("latest_invoice")
    finalized = get_nested(invoice, "status_transitions", "finalized_at")
    item: StripeObject = next(iter(get_list(obj, "items")), {})
    return first_datetime(
        finalized, get_nested(invoice, "created"), item.get("current_period_start"), obj.get("created")
    )


def _scheduled(obj: StripeObject, present: Any) -> dict[str, Any]:
    """Columns of the schedule: its next phase, if that changes the price."""
    schedule = obj.get("schedule")
    found = {"stripe_schedule": get_id(schedule), "next_price": None, "next_price_at": None}
    if get_nested(schedule, "status") not in {"active", "not_started"}:
        return found
    current_end = get_nested(schedule, "current_phase", "end_date") or 0
    for phase in get_nested(schedule, "phases") or []:
        price = get_id(get_nested(next(iter(phase.get("items") or []), {}), "price"))
        if phase.get("start_date", 0) >= current_end and price != present:
            return {**found, "next_price": price, "next_price_at": to_datetime(phase.get("start_date"))}
    return found


def _after_discounts(obj: StripeObject, amount: int | None, period_end: datetime | None) -> int | None:
    """Return the amount of the next invoice."""
    if amount is None:
        return None
    left = Decimal(amount)
    for coupon in _next_coupons(obj, period_end):
        percent, off = coupon.get("percent_off"), coupon.get("amount_off")
        if percent:
            left -= left * Decimal(str(percent)) / 100
        elif isinstance(off, int) and coupon.get("currency") == obj.get("currency"):
            left -= off
    return max(0, int(left.quantize(Decimal(1), ROUND_HALF_UP)))


def _next_coupons(obj: StripeObject, period_end: datetime | None) -> Iterator[StripeObject]:
    """Yield coupons that still apply to the next invoice; one for a single payment does only in a trial."""
    for discount in obj.get("discounts") or []:
        coupon = get_nested(discount, "source", "coupon")
        end = to_datetime(get_nested(discount, "end"))
        if not isinstance(coupon, dict) or (end is not None and period_end is not None and end <= period_end):
            continue
        if coupon.get("duration") != "once" or obj.get("status") == "trialing":
            yield coupon
