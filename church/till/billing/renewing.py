"""Renew subscriptions: start and bill the next period, and end trials that have no card."""

from __future__ import annotations

from church.till.billing import lines
from church.till.billing.ending import end
from church.till.billing.lines import only_item
from church.till.billing.periods import end_after
from church.till.billing.subscribing import UPDATED, bill, move, rhythm, take_pending
from church.till.desk import Desk
from church.till.store import Obj


def renew(till: Desk, subscription: Obj) -> None:
    """Start the next period now and bill it, together with pending lines."""
    item = only_item(subscription)
    begin, trial = item["current_period_end"], subscription["status"] == "trialing"
    if trial and subscription["default_payment_method"] is None and not _continues(till, subscription):
        return
    until = end_after(begin, subscription["billing_cycle_anchor"], *rhythm(item["price"]))
    status = "active" if trial else subscription["status"]
    move(till, subscription, item["price"], item["quantity"], (begin, until), status=status)
    parts = [
        *take_pending(till, subscription),
        lines.whole(till, subscription, item["price"], item["quantity"], (begin, until)),
    ]
    bill(till, subscription, parts, "subscription_cycle")


def _continues(till: Desk, subscription: Obj) -> bool:
    """Tell whether a trial without a card continues; if not, cancel or pause it as its settings say."""
    customer = till.get("customer", subscription["customer"])
    behaviour = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    if customer["invoice_settings"]["default_payment_method"] or behaviour == "create_invoice":
        return True
    if behaviour == "cancel":
        end(till, subscription, "cancellation_requested")
    else:
        till.change(subscription, "customer.subscription.paused", UPDATED, status="paused")
    return False
