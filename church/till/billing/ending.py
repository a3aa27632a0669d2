"""End a subscription now, or set or clear the time at which it ends."""

from __future__ import annotations

from church.till.billing.lines import get_item
from church.till.billing.subscribing import UPDATED
from church.till.desk import Till
from church.till.store import Obj


def end_subscription(till: Till, subscription: Obj, reason: str, **details: str | None) -> Obj:
    """End a subscription and its schedule now, and stop retrying its unpaid invoices."""
    for schedule in till.store.all("subscription_schedule", subscription=subscription["id"], status="active"):
        till.change(schedule, "subscription_schedule.canceled", status="canceled", canceled_at=till.now)
    unpaid = {"parent__subscription_details__subscription": subscription["id"], "status": "open"}
    for invoice in till.store.all("invoice", **unpaid):
        till.change(invoice, "invoice.updated", auto_advance=False, next_payment_attempt=None)
    return till.change(
        subscription,
        "customer.subscription.deleted",
        canceled_at=subscription["canceled_at"] or till.now,
        cancellation_details={**subscription["cancellation_details"], **details, "reason": reason},
        ended_at=till.now,
        schedule=None,
        status="canceled",
    )


def get_period_end(subscription: Obj) -> int:
    """Return the end of the current period."""
    return int(get_item(subscription)["current_period_end"])


def set_cancel_at(till: Till, subscription: Obj, *, at: int | None, by_period: bool) -> Obj:
    """Set the time at which a subscription ends; None clears it."""
    details = {**subscription["cancellation_details"], "reason": "cancellation_requested" if at else None}
    return till.change(
        subscription,
        UPDATED,
        cancel_at=at,
        cancel_at_period_end=by_period,
        canceled_at=till.now if at else None,
        cancellation_details=details,
    )
