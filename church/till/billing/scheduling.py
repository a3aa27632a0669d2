"""Subscription schedules: one price now, another from a later time on."""

from __future__ import annotations

from church.till.billing.changing import apply_change, prepare_change
from church.till.billing.ending import end_subscription
from church.till.billing.lines import get_item
from church.till.billing.subscribing import UPDATED, get_interval
from church.till.desk import Till
from church.till.shapes import make_legacy_plan
from church.till.store import Obj

_NULLS = (
    "application_fee_percent automatic_tax billing_cycle_anchor billing_thresholds collection_method "
    "default_payment_method description invoice_settings on_behalf_of transfer_data trial_end"
)


def make_phase(
    price: Obj,
    quantity: int,
    span: tuple[int, int],
    behaviour: str = "create_prorations",
    metadata: dict[str, str] | None = None,
    discounts: list[str] | None = None,
) -> Obj:
    """Create a phase of a schedule. During it the subscription has its discounts and no others."""
    return {
        **dict.fromkeys(_NULLS.split()),
        "add_invoice_items": [],
        "currency": price["currency"],
        "default_tax_rates": [],
        "discounts": [{"coupon": None, "discount": discount, "promotion_code": None} for discount in discounts or []],
        "end_date": span[1],
        "items": [_phase_item(price, quantity)],
        "metadata": metadata or {},
        "proration_behavior": behaviour,
        "start_date": span[0],
    }


def _phase_item(price: Obj, quantity: int) -> Obj:
    return {
        "billing_thresholds": None,
        "discounts": [],
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
        phases=[make_phase(item["price"], item["quantity"], span, discounts=subscription["discounts"])],
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
    item = following["items"][0]
    price, quantity = till.get("price", item["price"]), item["quantity"] or 1
    before = get_item(subscription)
    if at >= before["current_period_end"] and get_interval(price) == get_interval(before["price"]):
        _set_price(till, subscription, price, quantity)  # billed by the renewal, which is due at the same time
    else:
        apply_change(
            till, subscription, prepare_change(till, subscription, price, quantity, following["proration_behavior"], at)
        )
    span = {"start_date": following["start_date"], "end_date": following["end_date"]}
    till.change(schedule, "subscription_schedule.updated", current_phase=span)


def set_discounts(till: Till, subscription: Obj, current: Obj) -> None:
    """Give the subscription the discounts of the current phase, and no others."""
    till.change(subscription, UPDATED, discounts=[entry["discount"] for entry in current["discounts"]])


def _set_price(till: Till, subscription: Obj, price: Obj, quantity: int) -> None:
    item = {**get_item(subscription), "plan": make_legacy_plan(price), "price": price, "quantity": quantity}
    till.change(subscription, UPDATED, items={**subscription["items"], "data": [item]})


def _finish(till: Till, schedule: Obj, subscription: Obj) -> None:
    if schedule["end_behavior"] == "cancel":
        till.change(schedule, "subscription_schedule.completed", status="completed", completed_at=till.now)
        end_subscription(till, subscription, "cancellation_requested")
    else:
        detach_schedule(till, schedule)
