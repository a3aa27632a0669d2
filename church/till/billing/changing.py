"""Change the plan within a period: compute the prorations, then apply the change.

Source: https://docs.stripe.com/billing/subscriptions/prorations. Prorations are by the second; a price with another
interval starts a new period now.
"""

from __future__ import annotations

from dataclasses import dataclass

from church.till.billing import lines
from church.till.billing.holding import hold
from church.till.billing.lines import only_item
from church.till.billing.periods import end_after
from church.till.billing.subscribing import bill, leave_pending, move, rhythm, take_pending
from church.till.desk import Desk
from church.till.store import Obj

BEHAVIOURS = ("create_prorations", "always_invoice", "none")


@dataclass(frozen=True)
class Change:
    """A change of plan: ``parts`` are its invoice lines; ``restarts`` tells whether a new period begins."""

    price: Obj
    quantity: int
    parts: list[Obj]
    span: tuple[int, int]
    restarts: bool
    invoiced: bool  # now, instead of with the next renewal


def weigh(
    till: Desk, subscription: Obj, price: Obj, quantity: int, behaviour: str, at: int, *, restart: bool = False
) -> Change:
    """Compute what a change would do, without storing anything."""
    item = only_item(subscription)
    span = (item["current_period_start"], item["current_period_end"])
    at = min(max(at, span[0]), span[1])  # the site's clock may differ from the till's
    if subscription["status"] == "trialing" and not restart:
        return Change(price, quantity, [], span, restarts=False, invoiced=False)
    restart = restart or rhythm(price) != rhythm(item["price"])
    trial = subscription["status"] == "trialing"
    no_credit = behaviour == "none" or trial or at >= item["current_period_end"]
    credit = [] if no_credit else [lines.unused(till, subscription, at)]
    if restart:
        span = (till.now, end_after(till.now, till.now, *rhythm(price)))
        parts = [*credit, lines.whole(till, subscription, price, quantity, span)]
    elif price["id"] == item["price"]["id"] and quantity == item["quantity"]:
        parts = []
    else:
        parts = [*credit, lines.remaining(till, subscription, price, quantity, at)] if credit else []
    invoiced = restart or (behaviour == "always_invoice" and bool(parts))
    return Change(price, quantity, parts, span, restart, invoiced)


def apply(till: Desk, subscription: Obj, change: Change) -> str | None:
    """Apply a change. Returns the result of the payment, or None if nothing was due now."""
    move(till, subscription, change.price, change.quantity, change.span, **_other_fields(subscription, change))
    if change.invoiced:
        return bill(till, subscription, [*take_pending(till, subscription), *change.parts], "subscription_update")
    leave_pending(till, subscription, change.parts)
    return None


def apply_when_paid(till: Desk, subscription: Obj, change: Change) -> None:
    """Apply a change after its invoice is paid; if the card is declined, the subscription stays unchanged."""
    if not change.invoiced:
        apply(till, subscription, change)
        return
    fields = {"price": change.price, "quantity": change.quantity, "span": list(change.span)}
    hold(till, subscription, {**fields, "values": _other_fields(subscription, change)}, change.parts)


def _other_fields(subscription: Obj, change: Change) -> Obj:
    """Return fields that change besides price, quantity and period."""
    if not change.restarts:
        return {}
    in_trial = subscription["status"] == "trialing"
    trial_ends = {"status": "active", "trial_end": change.span[0]} if in_trial else {}
    return {"billing_cycle_anchor": change.span[0], **trial_ends}
