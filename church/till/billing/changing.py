"""Change the plan within a period: compute the prorations, then apply the change.

Source: https://docs.stripe.com/billing/subscriptions/prorations. Prorations are by the second; a price with another
interval starts a new period now.
"""

from __future__ import annotations

from dataclasses import dataclass

from church.till.billing import lines
from church.till.billing.holding import hold_change
from church.till.billing.lines import get_item, list_items
from church.till.billing.periods import compute_period_end
from church.till.billing.subscribing import (
    add_pending_lines,
    bill_subscription,
    get_interval,
    set_items,
    take_pending_lines,
)
from church.till.desk import Till
from church.till.store import Obj

BEHAVIOURS = ("create_prorations", "always_invoice", "none")


@dataclass(frozen=True)
class PlanChange:
    """A change of plan: ``items`` are all items after it, ``parts`` its invoice lines.

    ``restarts`` tells whether a new period begins.
    """

    items: list[Obj]
    parts: list[Obj]
    span: tuple[int, int]
    restarts: bool
    invoiced: bool  # now, instead of with the next renewal


def prepare_change(
    till: Till, subscription: Obj, items: list[Obj], behaviour: str, at: int, *, restart: bool = False
) -> PlanChange:
    """Compute what a change to these items would do, without storing anything."""
    item = get_item(subscription)
    span = (item["current_period_start"], item["current_period_end"])
    at = min(max(at, span[0]), span[1])  # the site's clock may differ from the till's
    if subscription["status"] == "trialing" and not restart:
        return PlanChange(items, [], span, restarts=False, invoiced=False)
    restart = restart or get_interval(items[0]["price"]) != get_interval(item["price"])
    trial = subscription["status"] == "trialing"
    no_credit = behaviour == "none" or trial or at >= item["current_period_end"]
    if restart:
        former = [] if no_credit else list_items(subscription)
        span = (till.now, compute_period_end(till.now, till.now, *get_interval(items[0]["price"])))
        new = lines.make_period_lines(till, subscription, items, span)
    else:
        former = [] if no_credit else _list_different(list_items(subscription), items)
        new = [] if no_credit else [
            lines.make_remaining_time_line(till, subscription, one["price"], one["quantity"], at, one["id"])
            for one in _list_different(items, list_items(subscription))
        ]  # fmt: skip
    parts = [*(lines.make_unused_time_line(till, subscription, at, one) for one in former), *new]
    invoiced = restart or (behaviour == "always_invoice" and bool(parts))
    return PlanChange(items, parts, span, restart, invoiced)


def _list_different(items: list[Obj], others: list[Obj]) -> list[Obj]:
    """List the items that ``others`` does not have, or has with another price or quantity."""
    same = {(one["id"], one["price"]["id"], one["quantity"]) for one in others}
    return [one for one in items if (one["id"], one["price"]["id"], one["quantity"]) not in same]


def apply_change(till: Till, subscription: Obj, change: PlanChange) -> str | None:
    """Apply a change. Returns the result of the payment, or None if nothing was due now."""
    set_items(till, subscription, change.items, change.span, **_other_fields(subscription, change))
    if change.invoiced:
        return bill_subscription(
            till, subscription, [*take_pending_lines(till, subscription), *change.parts], "subscription_update"
        )
    add_pending_lines(till, subscription, change.parts)
    return None


def apply_change_when_paid(till: Till, subscription: Obj, change: PlanChange) -> None:
    """Apply a change after its invoice is paid; if the card is declined, the subscription stays unchanged."""
    if not change.invoiced:
        apply_change(till, subscription, change)
        return
    fields = {"items": change.items, "span": list(change.span)}
    hold_change(till, subscription, {**fields, "values": _other_fields(subscription, change)}, change.parts)


def _other_fields(subscription: Obj, change: PlanChange) -> Obj:
    """Return fields that change besides price, quantity and period."""
    if not change.restarts:
        return {}
    in_trial = subscription["status"] == "trialing"
    trial_ends = {"status": "active", "trial_end": change.span[0]} if in_trial else {}
    return {"billing_cycle_anchor": change.span[0], **trial_ends}
