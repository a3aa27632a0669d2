"""Stripe's subscriptions in the words of our table: pure, and content with fields that are missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from church.services.billing.stripe.client import Obj
from church.services.billing.stripe.objects import first_moment, moment, part, ref, rows


def subscription_values(obj: Obj, plan: str) -> dict[str, Any]:
    """Columns of ``Subscription`` but for whose it is; periods come from its item, either way of ending counts."""
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
    """When the unpaid invoice was due: Stripe does not say since when a subscription is past due."""
    if obj.get("status") != "past_due":
        return None
    invoice = obj.get("latest_invoice")
    finalized = part(invoice, "status_transitions", "finalized_at")
    item: Obj = next(iter(rows(obj, "items")), {})
    return first_moment(finalized, part(invoice, "created"), item.get("current_period_start"), obj.get("created"))


def _scheduled(obj: Obj, present: Any) -> dict[str, Any]:
    """The next phase of its schedule, if that changes the price."""
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
    if amount is None:
        return None
    left = Decimal(amount)
    for coupon in _lasting(obj, period_end):
        percent, off = coupon.get("percent_off"), coupon.get("amount_off")
        if percent:
            left -= left * Decimal(str(percent)) / 100
        elif isinstance(off, int) and coupon.get("currency") == obj.get("currency"):
            left -= off
    return max(0, int(left.quantize(Decimal(1), ROUND_HALF_UP)))


def _lasting(obj: Obj, period_end: datetime | None) -> Iterator[Obj]:
    """Coupons that the next invoice still takes off; one for a single payment is used up unless in a trial."""
    for discount in obj.get("discounts") or []:
        coupon = part(discount, "source", "coupon")
        end = moment(part(discount, "end"))
        if not isinstance(coupon, dict) or (end is not None and period_end is not None and end <= period_end):
            continue
        if coupon.get("duration") != "once" or obj.get("status") == "trialing":
            yield coupon
