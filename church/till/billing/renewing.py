"""Renewals: the next period begins, and a trial without a card ends as was wished."""

from __future__ import annotations

from church.till.billing import lines
from church.till.billing.ending import end
from church.till.billing.lines import only_item
from church.till.billing.periods import end_after
from church.till.billing.subscribing import UPDATED, bill, move, rhythm, take_pending
from church.till.desk import Desk
from church.till.store import Obj


def renew(till: Desk, subscription: Obj) -> None:
    """The next period begins now: the item moves on, and what was pending is billed with it."""
    item = only_item(subscription)
    begin, trial = item["current_period_end"], subscription["status"] == "trialing"
    if trial and subscription["default_payment_method"] is None and not _goes_on(till, subscription):
        return
    until = end_after(begin, subscription["billing_cycle_anchor"], *rhythm(item["price"]))
    status = "active" if trial else subscription["status"]
    move(till, subscription, item["price"], item["quantity"], (begin, until), status=status)
    parts = [
        *take_pending(till, subscription),
        lines.whole(till, subscription, item["price"], item["quantity"], (begin, until)),
    ]
    bill(till, subscription, parts, "subscription_cycle")


def _goes_on(till: Desk, subscription: Obj) -> bool:
    """A trial ends and there is no card: whether to go on and send an invoice nevertheless."""
    customer = till.get("customer", subscription["customer"])
    wish = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    if customer["invoice_settings"]["default_payment_method"] or wish == "create_invoice":
        return True
    if wish == "cancel":
        end(till, subscription, "cancellation_requested")
    else:
        till.change(subscription, "customer.subscription.paused", UPDATED, status="paused")
    return False
