"""Subscription schedules: a price now, another from a later moment on."""

from __future__ import annotations

from church.till.billing.changing import apply, weigh
from church.till.billing.ending import end
from church.till.billing.lines import only_item
from church.till.billing.subscribing import UPDATED, rhythm
from church.till.desk import Desk
from church.till.shapes import plan_of
from church.till.store import Obj

_NULLS = (
    "application_fee_percent automatic_tax billing_cycle_anchor billing_thresholds collection_method "
    "default_payment_method description invoice_settings on_behalf_of transfer_data trial_end"
)


def phase(
    price: Obj,
    quantity: int,
    span: tuple[int, int],
    behaviour: str = "create_prorations",
    metadata: dict[str, str] | None = None,
    discounts: list[str] | None = None,
) -> Obj:
    """One phase of a schedule; what discounts it names are all that the subscription then has."""
    return {
        **dict.fromkeys(_NULLS.split()),
        "add_invoice_items": [],
        "currency": price["currency"],
        "default_tax_rates": [],
        "discounts": [{"coupon": None, "discount": one, "promotion_code": None} for one in discounts or []],
        "end_date": span[1],
        "items": [_item(price, quantity)],
        "metadata": metadata or {},
        "proration_behavior": behaviour,
        "start_date": span[0],
    }


def _item(price: Obj, quantity: int) -> Obj:
    return {
        "billing_thresholds": None,
        "discounts": [],
        "metadata": {},
        "plan": plan_of(price)["id"],
        "price": price["id"],
        "quantity": quantity,
        "tax_rates": [],
    }


def around(till: Desk, subscription: Obj) -> Obj:
    """A schedule of one phase: the running period as it is."""
    item = only_item(subscription)
    span = (item["current_period_start"], item["current_period_end"])
    made = till.make(
        "subscription_schedule",
        current_phase={"start_date": span[0], "end_date": span[1]},
        customer=subscription["customer"],
        phases=[phase(item["price"], item["quantity"], span, discounts=subscription["discounts"])],
        subscription=subscription["id"],
    )
    till.keep(made, "subscription_schedule.created")
    till.change(subscription, UPDATED, schedule=made["id"])
    return made


def release(till: Desk, schedule: Obj) -> Obj:
    """The subscription goes on without it."""
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


def next_moment(schedule: Obj) -> int:
    """When its next phase begins, or its last one ends."""
    return int(schedule["current_phase"]["end_date"])


def turn(till: Desk, schedule: Obj) -> None:
    """The running phase is over: begin the next one, or come to the schedule's end."""
    at = next_moment(schedule)
    following = next((one for one in schedule["phases"] if one["start_date"] >= at), None)
    subscription = till.get("subscription", schedule["subscription"])
    if following is None:
        _finish(till, schedule, subscription)
        return
    use_discounts(till, subscription, following)
    item = following["items"][0]
    price, quantity = till.get("price", item["price"]), item["quantity"] or 1
    before = only_item(subscription)
    if at >= before["current_period_end"] and rhythm(price) == rhythm(before["price"]):
        _swap(till, subscription, price, quantity)  # the renewal that is due at the same moment bills it
    else:
        apply(till, subscription, weigh(till, subscription, price, quantity, following["proration_behavior"], at))
    span = {"start_date": following["start_date"], "end_date": following["end_date"]}
    till.change(schedule, "subscription_schedule.updated", current_phase=span)


def use_discounts(till: Desk, subscription: Obj, running: Obj) -> None:
    """Let the subscription have the discounts of the phase that runs, and no others."""
    till.change(subscription, UPDATED, discounts=[one["discount"] for one in running["discounts"]])


def _swap(till: Desk, subscription: Obj, price: Obj, quantity: int) -> None:
    item = {**only_item(subscription), "plan": plan_of(price), "price": price, "quantity": quantity}
    till.change(subscription, UPDATED, items={**subscription["items"], "data": [item]})


def _finish(till: Desk, schedule: Obj, subscription: Obj) -> None:
    if schedule["end_behavior"] == "cancel":
        till.change(schedule, "subscription_schedule.completed", status="completed", completed_at=till.now)
        end(till, subscription, "cancellation_requested")
    else:
        release(till, schedule)
