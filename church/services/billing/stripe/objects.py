"""Convert Stripe's objects to columns of our tables, without I/O; missing fields are allowed.

Shapes follow the API version that the SDK pins. Where Stripe expands an id, the object is in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from church.services.billing.stripe.client import Obj


def ref(value: Any) -> str | None:
    """Return the id of an object that may be expanded."""
    found = value.get("id") if isinstance(value, dict) else value
    return found if isinstance(found, str) and found else None


def part(obj: Any, *names: str) -> Any:
    """Look up a nested value by ``names``; None where one is missing."""
    for name in names:
        obj = obj.get(name) if isinstance(obj, dict) else None
    return obj


def rows(obj: Any, *names: str) -> list[Obj]:
    """Return the objects of a nested list; none where it is not expanded."""
    found = part(obj, *names, "data")
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def moment(seconds: Any) -> datetime | None:
    """Convert Stripe's timestamp, in seconds; None where it is missing."""
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) and seconds > 0 else None


def link(address: Any) -> str | None:
    """Return an address that a page may link to; None for any other scheme."""
    return address if isinstance(address, str) and address.startswith(("https://", "http://")) else None


def first_moment(*candidates: Any) -> datetime:
    """Return the first timestamp that is set, else 1970, for columns that need one."""
    return next((at for at in map(moment, candidates) if at is not None), datetime.fromtimestamp(0, UTC))


def owner_ref(obj: Obj) -> str | None:
    """Return the member's ref that the checkout wrote to a session, subscription or customer."""
    found = part(obj, "metadata", "church_user") or obj.get("client_reference_id")
    return found if isinstance(found, str) else None


def plan_of_product(product: Any) -> str | None:
    """Return the plan of an expanded product; None for a product that is not a plan."""
    found = part(product, "metadata", "church_plan")
    return found[:40] if isinstance(found, str) and found else None


def customer_values(obj: Obj) -> dict[str, Any]:
    """Columns of ``Customer``."""
    card = card_values(part(obj, "invoice_settings", "default_payment_method"))
    return {"delinquent": bool(obj.get("delinquent")), **card}


def card_values(method: Any) -> dict[str, Any]:
    """Columns of the card that renewals are charged to; empty for other payment methods."""
    card = part(method, "card")
    if not isinstance(card, dict):
        return {}
    month, year = card.get("exp_month"), card.get("exp_year")
    expires = f"{month:02}/{year}" if isinstance(month, int) and isinstance(year, int) else None
    return {"card_brand": card.get("brand"), "card_last4": card.get("last4"), "card_expires": expires}


def product_values(obj: Obj) -> dict[str, Any]:
    """Columns of ``Product`` except its plan."""
    order = part(obj, "metadata", "church_order")
    features = (part(feature, "name") for feature in obj.get("marketing_features") or [])
    return {
        "name": obj.get("name") or "",
        "description": obj.get("description") or "",
        "features": [name for name in features if isinstance(name, str)],
        "position": int(order) if isinstance(order, str) and order.isdecimal() and len(order) < 6 else 0,
        "active": bool(obj.get("active")),
    }


def price_values(obj: Obj) -> dict[str, Any]:
    """Columns of ``Price``; trial days are those of the price, its metadata, or its product's metadata."""
    recurring = obj.get("recurring")
    texts = (part(obj, "metadata", "church_trial_days"), part(obj, "product", "metadata", "church_trial_days"))
    days = next((int(text) for text in texts if isinstance(text, str) and text.isdecimal() and len(text) < 4), 0)
    return {
        "stripe_product": ref(obj.get("product")) or "",
        "amount": obj.get("unit_amount"),
        "currency": str(obj.get("currency")),
        "interval": part(recurring, "interval"),
        "interval_count": part(recurring, "interval_count") or 1,
        "trial_days": part(recurring, "trial_period_days") or days,
        "tax_behavior": obj.get("tax_behavior") or "unspecified",
        "active": bool(obj.get("active")) and recurring is not None,
        "created_at": first_moment(obj.get("created")),
    }


def subscription_of_invoice(invoice: Obj) -> str | None:
    """Return the subscription of an invoice, in current and older versions of the API."""
    return ref(part(invoice, "parent", "subscription_details", "subscription")) or ref(invoice.get("subscription"))


def invoice_values(obj: Obj) -> dict[str, Any]:
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
        "created_at": first_moment(obj.get("created")),
        "paid_at": moment(part(obj, "status_transitions", "paid_at")),
        "next_attempt_at": moment(obj.get("next_payment_attempt")),
    }


def _problem(obj: Obj) -> str | None:
    if obj.get("status") == "draft":
        error = obj.get("last_finalization_error")
        return str(part(error, "code") or part(error, "type") or "finalization_failed") if error else None
    if obj.get("status") != "open":
        return None
    intents = (part(payment, "payment", "payment_intent", "status") for payment in rows(obj, "payments"))
    if "requires_action" in intents:
        return "action_required"
    return "payment_failed" if obj.get("attempt_count") else None


def subscription_values(obj: Obj, plan: str) -> dict[str, Any]:
    """Columns of ``Subscription`` except its owner; ``cancel_at`` covers both of Stripe's ways to cancel."""
    item: Obj = next(iter(rows(obj, "items")), {})
    price: Obj = item.get("price") or {}
    period_end = moment(item.get("current_period_end"))
    quantity = item.get("quantity") or 1
    unit = price.get("unit_amount")
    amount = unit * quantity if isinstance(unit, int) else None
    ends = moment(obj.get("cancel_at")) or (period_end if obj.get("cancel_at_period_end") else None)
    return {
        "status": str(obj.get("status")),
        "plan": plan,
        "stripe_item": item.get("id"),
        "stripe_price": price.get("id"),
        "stripe_product": ref(price.get("product")),
        "quantity": quantity,
        "amount": amount,
        "renewal_amount": _after_discounts(obj, amount, period_end),
        "currency": str(price.get("currency") or obj.get("currency")),
        "interval": part(price, "recurring", "interval"),
        "interval_count": part(price, "recurring", "interval_count") or 1,
        "started_at": first_moment(obj.get("start_date"), obj.get("created")),
        "trial_end": moment(obj.get("trial_end")),
        "current_period_start": moment(item.get("current_period_start")),
        "current_period_end": period_end,
        "cancel_at": ends,
        "canceled_at": moment(obj.get("canceled_at")),
        "ended_at": moment(obj.get("ended_at")),
        "past_due_since": _past_due_since(obj),
        "collection_paused": bool(obj.get("pause_collection")),
        "latest_invoice": ref(obj.get("latest_invoice")),
        "created_at": first_moment(obj.get("created")),
        **_scheduled(obj, price.get("id")),
    }


def _past_due_since(obj: Obj) -> datetime | None:
    """When the unpaid invoice was due; Stripe does not tell since when a subscription is past due."""
    if obj.get("status") != "past_due":
        return None
    invoice = obj.get("latest_invoice")
    finalized = part(invoice, "status_transitions", "finalized_at")
    item: Obj = next(iter(rows(obj, "items")), {})
    return first_moment(finalized, part(invoice, "created"), item.get("current_period_start"), obj.get("created"))


def _scheduled(obj: Obj, present: Any) -> dict[str, Any]:
    """Columns of the schedule: its next phase, if that changes the price."""
    schedule = obj.get("schedule")
    found = {"stripe_schedule": ref(schedule), "next_price": None, "next_price_at": None}
    if part(schedule, "status") not in {"active", "not_started"}:
        return found
    current_end = part(schedule, "current_phase", "end_date") or 0
    for phase in part(schedule, "phases") or []:
        price = ref(part(next(iter(phase.get("items") or []), {}), "price"))
        if phase.get("start_date", 0) >= current_end and price != present:
            return {**found, "next_price": price, "next_price_at": moment(phase.get("start_date"))}
    return found


def _after_discounts(obj: Obj, amount: int | None, period_end: datetime | None) -> int | None:
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


def _next_coupons(obj: Obj, period_end: datetime | None) -> Iterator[Obj]:
    """Yield coupons that still apply to the next invoice; one for a single payment does only in a trial."""
    for discount in obj.get("discounts") or []:
        coupon = part(discount, "source", "coupon")
        end = moment(part(discount, "end"))
        if not isinstance(coupon, dict) or (end is not None and period_end is not None and end <= period_end):
            continue
        if coupon.get("duration") != "once" or obj.get("status") == "trialing":
            yield coupon
