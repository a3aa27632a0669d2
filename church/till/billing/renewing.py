"""Renew subscriptions: start and bill the next period, and end trials that have no card."""

from __future__ import annotations

from church.till.billing import lines
from church.till.billing.ending import end_subscription
from church.till.billing.lines import get_item, list_items
from church.till.billing.periods import compute_period_end
from church.till.billing.subscribing import UPDATED, bill_subscription, get_interval, set_items, take_pending_lines
from church.till.desk import Till
from church.till.store import Obj


def renew_subscription(till: Till, subscription: Obj) -> None:
    """Start the next period now and bill it, together with pending lines."""
    item = get_item(subscription)
    begin, trial = item["current_period_end"], subscription["status"] == "trialing"
    if trial and subscription["default_payment_method"] is None and not _continues(till, subscription):
        return
    until = compute_period_end(begin, subscription["billing_cycle_anchor"], *get_interval(item["price"]))
    status = "active" if trial else subscription["status"]
    items = list_items(subscription)
    set_items(till, subscription, items, (begin, until), status=status)
    parts = [
        *take_pending_lines(till, subscription),
        *lines.make_period_lines(till, subscription, items, (begin, until)),
    ]
    bill_subscription(till, subscription, parts, "subscription_cycle")


def _continues(till: Till, subscription: Obj) -> bool:
    """Tell whether a trial without a card continues; if not, cancel or pause it as its settings say."""
    customer = till.get("customer", subscription["customer"])
    behaviour = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    if customer["invoice_settings"]["default_payment_method"] or behaviour == "create_invoice":
        return True
    if behaviour == "cancel":
        end_subscription(till, subscription, "cancellation_requested")
    else:
        till.change(subscription, "customer.subscription.paused", UPDATED, status="paused")
    return False
