"""Subscription schedules: one price now, another from a later time on."""

from __future__ import annotations

from church.till.billing.changing import apply_change, prepare_change
from church.till.billing.ending import end_subscription
from church.till.billing.lines import get_item, list_items
from church.till.billing.subscribing import UPDATED, get_interval, make_item, set_items
from church.till.desk import Till
from church.till.shapes import make_legacy_plan
from church.till.store import Obj

_NULLS = (
    "application_fee_percent automatic_tax billing_cycle_anchor billing_thresholds collection_method "
    "default_payment_method description invoice_settings on_behalf_of transfer_data trial_end"
)


def make_phase(
    items: list[Obj],
    span: tuple[int, int],
    behaviour: str = "create_prorations",
    metadata: dict[str, str] | None = None,
    discounts: list[str] | None = None,
) -> Obj:
    """Create a phase of a schedule; each of ``items`` has a price, a quantity and discounts.

    During it the subscription has its discounts and items, and no others.
    """
    return {
        **dict.fromkeys(_NULLS.split()),
        "add_invoice_items": [],
        "currency": items[0]["price"]["currency"],
        "default_tax_rates": [],
        "discounts": [{"coupon": None, "discount": discount, "promotion_code": None} for discount in discounts or []],
        "end_date": span[1],
        "items": [_phase_item(item["price"], item["quantity"], item["discounts"]) for item in items],
        "metadata": metadata or {},
        "proration_behavior": behaviour,
        "start_date": span[0],
    }


def _phase_item(price: Obj, quantity: int, discounts: list[str]) -> Obj:
    return {
        "billing_thresholds": None,
        "discounts": [{"coupon": None, "discount": name, "promotion_code": None} for name in discounts],
        "metadata": {},
        "plan": make_legacy_plan(price)["id"],
        "price": price["id"],
        "quantity": quantity,
        "tax_rates": [],
    }


def schedule_subscription(till: Till, subscription: Obj) -> Obj:
    """Create a schedule with one phase: the current period unchanged."""
    item = get_item(subscription)
    span = (item["current_period_start"], item["current_period_end"])
    schedule = till.make(
        "subscription_schedule",
        current_phase={"start_date": span[0], "end_date": span[1]},
        customer=subscription["customer"],
        phases=[make_phase(list_items(subscription), span, discounts=subscription["discounts"])],
        subscription=subscription["id"],
    )
    till.add(schedule, "subscription_schedule.created")
    till.change(subscription, UPDATED, schedule=schedule["id"])
    return schedule


def detach_schedule(till: Till, schedule: Obj) -> Obj:
    """Release the schedule: the subscription continues without it."""
    subscription = till.get("subscription", schedule["subscription"])
    till.change(
        schedule,
        "subscription_schedule.released",
        current_phase=None,
        released_at=till.now,
        released_subscription=subscription["id"],
        status="released",
        subscription=None,
    )
    till.change(subscription, UPDATED, schedule=None)
    return schedule


def get_phase_end(schedule: Obj) -> int:
    """Return the end of the current phase."""
    return int(schedule["current_phase"]["end_date"])


def start_next_phase(till: Till, schedule: Obj) -> None:
    """End the current phase and start the next one, or end the schedule after the last."""
    at = get_phase_end(schedule)
    following = next((entry for entry in schedule["phases"] if entry["start_date"] >= at), None)
    subscription = till.get("subscription", schedule["subscription"])
    if following is None:
        _finish(till, schedule, subscription)
        return
    set_discounts(till, subscription, following)
    items = items_of_phase(till, subscription, following)
    before = get_item(subscription)
    if at >= before["current_period_end"] and get_interval(items[0]["price"]) == get_interval(before["price"]):
        span = (before["current_period_start"], before["current_period_end"])
        set_items(till, subscription, items, span)  # billed by the renewal, which is due at the same time
    else:
        apply_change(till, subscription, prepare_change(till, subscription, items, following["proration_behavior"], at))
    current = {"start_date": following["start_date"], "end_date": following["end_date"]}
    till.change(schedule, "subscription_schedule.updated", current_phase=current)


def items_of_phase(till: Till, subscription: Obj, phase: Obj) -> list[Obj]:
    """Return the subscription's items as the phase has them; an item keeps its id while its price stays."""
    present, made = list_items(subscription), []
    kept = {item["price"]["id"]: item for item in present}
    span = (present[0]["current_period_start"], present[0]["current_period_end"])
    wanted = {entry["price"] for entry in phase["items"]}
    spare = [item for item in present if item["price"]["id"] not in wanted]
    for entry in phase["items"]:
        fields = {"price": till.get("price", entry["price"]), "quantity": entry["quantity"]}
        item = kept.get(entry["price"]) or (spare.pop(0) if spare else None)
        item = item or make_item(till, subscription["id"], span, **fields, discounts=[])
        made.append({**item, **fields, "discounts": [each["discount"] for each in entry["discounts"]]})
    return made


def set_discounts(till: Till, subscription: Obj, current: Obj) -> None:
    """Give the subscription the discounts of the current phase, and no others."""
    till.change(subscription, UPDATED, discounts=[entry["discount"] for entry in current["discounts"]])


def _finish(till: Till, schedule: Obj, subscription: Obj) -> None:
    if schedule["end_behavior"] == "cancel":
        till.change(schedule, "subscription_schedule.completed", status="completed", completed_at=till.now)
        end_subscription(till, subscription, "cancellation_requested")
    else:
        detach_schedule(till, schedule)
