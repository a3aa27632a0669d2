"""A change of plan within a period: what is given back, what is charged, and when.

Source: https://docs.stripe.com/billing/subscriptions/prorations. Shares are by the second; a price of another rhythm
begins a new period now.
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
    """``parts`` are the lines that it makes; ``restarts`` if a new period begins with it."""

    price: Obj
    quantity: int
    parts: list[Obj]
    span: tuple[int, int]
    restarts: bool
    invoiced: bool  # now, not with the next renewal


def weigh(
    till: Desk, subscription: Obj, price: Obj, quantity: int, behaviour: str, at: int, *, restart: bool = False
) -> Change:
    """What the change would do; nothing is kept."""
    item = only_item(subscription)
    span = (item["current_period_start"], item["current_period_end"])
    at = min(max(at, span[0]), span[1])  # a site whose clock is not the till's may mean a moment outside
    if subscription["status"] == "trialing" and not restart:
        return Change(price, quantity, [], span, restarts=False, invoiced=False)
    restart = restart or rhythm(price) != rhythm(item["price"])
    trial = subscription["status"] == "trialing"
    nothing_back = behaviour == "none" or trial or at >= item["current_period_end"]
    back = [] if nothing_back else [lines.unused(till, subscription, at)]
    if restart:
        span = (till.now, end_after(till.now, till.now, *rhythm(price)))
        parts = [*back, lines.whole(till, subscription, price, quantity, span)]
    elif price["id"] == item["price"]["id"] and quantity == item["quantity"]:
        parts = []
    else:
        parts = [*back, lines.remaining(till, subscription, price, quantity, at)] if back else []
    invoiced = restart or (behaviour == "always_invoice" and bool(parts))
    return Change(price, quantity, parts, span, restart, invoiced)


def apply(till: Desk, subscription: Obj, change: Change) -> str | None:
    """Do it; says what the card said if something was to be paid now."""
    move(till, subscription, change.price, change.quantity, change.span, **_moved(subscription, change))
    if change.invoiced:
        return bill(till, subscription, [*take_pending(till, subscription), *change.parts], "subscription_update")
    leave_pending(till, subscription, change.parts)
    return None


def apply_when_paid(till: Desk, subscription: Obj, change: Change) -> None:
    """The same, but what is to be paid now is paid first; a card that refuses leaves everything as it was."""
    if not change.invoiced:
        apply(till, subscription, change)
        return
    wish = {"price": change.price, "quantity": change.quantity, "span": list(change.span)}
    hold(till, subscription, {**wish, "values": _moved(subscription, change)}, change.parts)


def _moved(subscription: Obj, change: Change) -> Obj:
    """What moves beside price, quantity and period."""
    if not change.restarts:
        return {}
    in_trial = subscription["status"] == "trialing"
    begun = {"status": "active", "trial_end": change.span[0]} if in_trial else {}
    return {"billing_cycle_anchor": change.span[0], **begun}
