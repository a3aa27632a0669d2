"""Endpoints of subscription schedules."""

from __future__ import annotations

from church.till.billing.changing import BEHAVIOURS
from church.till.billing.checkout import get_recurring_price
from church.till.billing.periods import add_interval
from church.till.billing.scheduling import detach_schedule, make_phase, schedule_subscription, set_discounts
from church.till.billing.subscribing import ENDED
from church.till.desk import Till
from church.till.http.api import endpoint
from church.till.http.endpoints.subscriptions import check_items
from church.till.http.errors import TillError
from church.till.http.lists import PAGING, list_page
from church.till.http.params import Params
from church.till.store import Obj

_PHASE = "discounts duration end_date items metadata proration_behavior start_date"


@endpoint("POST", "/subscription_schedules")
def create_schedule(till: Till, params: Params) -> Obj:
    """Create a schedule from a running subscription. Phases are added with an update."""
    params.allow("from_subscription")
    found = till.get("subscription", params.required("from_subscription"), "from_subscription")
    if found["schedule"] or found["status"] in ENDED:
        raise TillError(
            "You cannot migrate a subscription that has ended or has a schedule.", param="from_subscription"
        )
    return schedule_subscription(till, found)


@endpoint("POST", "/subscription_schedules/<schedule>")
def update_schedule(till: Till, params: Params, schedule: str) -> Obj:
    """Update a schedule. New phases replace all phases; the first is the current one."""
    found = _active(till, schedule)
    params.allow("end_behavior metadata phases proration_behavior")
    values: Obj = {"end_behavior": params.choice("end_behavior", found["end_behavior"], "release", "cancel")}
    if "metadata" in params:
        values["metadata"] = params.texts_by_name("metadata", found["metadata"])
    if rows := params.rows("phases"):
        values["phases"] = _phases(till, found, rows)
        first = values["phases"][0]
        values["current_phase"] = {"start_date": first["start_date"], "end_date": first["end_date"]}
        set_discounts(till, till.get("subscription", found["subscription"]), first)
    return till.change(found, "subscription_schedule.updated", **values)


def _phases(till: Till, schedule: Obj, rows: list[Params]) -> list[Obj]:
    begin = int(schedule["current_phase"]["start_date"])
    phases: list[Obj] = []
    for row in rows:
        row.allow(_PHASE)
        begin = phases[-1]["end_date"] if phases else row.number("start_date") or begin
        items = [_read_item(till, item) for item in row.rows("items")]
        if not items:
            raise TillError("A phase needs at least one item.", param="phases[0][items]")
        check_items(till, items, till.get("subscription", schedule["subscription"])["currency"])
        behaviour = row.choice("proration_behavior", *BEHAVIOURS)
        span = (begin, _end_date(row, begin, items[0]["price"]))
        discounts = _read_discounts(till, row)
        phases.append(make_phase(items, span, behaviour, row.texts_by_name("metadata"), discounts))
    if phases[0]["end_date"] <= till.now:
        raise TillError("The current phase must end in the future.", param="phases[0][end_date]")
    return phases


def _read_item(till: Till, item: Params) -> Obj:
    item.allow("discounts metadata price quantity")
    quantity = item.number("quantity")
    return {
        "price": get_recurring_price(till, item.required("price"), "phases[0][items][0][price]"),
        "quantity": 1 if quantity is None else quantity,
        "discounts": _read_discounts(till, item),
    }


def _read_discounts(till: Till, params: Params) -> list[str]:
    return [
        till.get("discount", entry.allow("discount").required("discount"), "phases[0][discounts]")["id"]
        for entry in params.rows("discounts")
    ]


def _end_date(row: Params, begin: int, price: Obj) -> int:
    end = row.number("end_date")
    if end is None:
        duration = row.table("duration").allow("interval interval_count")
        interval = duration.choice("interval", price["recurring"]["interval"], "day", "week", "month", "year")
        end = add_interval(begin, interval, duration.number("interval_count") or 1)
    if end <= begin:
        raise TillError("A phase must end after it starts.", param="phases[0][end_date]")
    return end


def _active(till: Till, schedule: str) -> Obj:
    found = till.get("subscription_schedule", schedule)
    if found["status"] != "active":
        raise TillError(f"This subscription schedule is {found['status']}: it can no longer be changed.")
    return found


@endpoint("POST", "/subscription_schedules/<schedule>/release")
def release_schedule(till: Till, params: Params, schedule: str) -> Obj:
    """Release a schedule: the subscription continues without it."""
    return detach_schedule(till, _active(till, schedule))


@endpoint("GET", "/subscription_schedules/<schedule>")
def get_schedule(till: Till, params: Params, schedule: str) -> Obj:
    """Return a schedule."""
    return till.get("subscription_schedule", schedule)


@endpoint("GET", "/subscription_schedules")
def list_schedules(till: Till, params: Params) -> Obj:
    """List schedules, by customer."""
    params.allow(f"{PAGING} customer")
    return list_page(
        till, params, "subscription_schedule", "/v1/subscription_schedules", customer=params.text("customer")
    )
