"""Endpoints of subscriptions: read, update, cancel, resume."""

from __future__ import annotations

from church.till.billing import lines
from church.till.billing.cards import ACTION_REQUIRED, PAID
from church.till.billing.changing import BEHAVIOURS, apply_change, apply_change_when_paid, prepare_change
from church.till.billing.checkout import get_recurring_price
from church.till.billing.ending import end_subscription, get_period_end, set_cancel_at
from church.till.billing.holding import drop_pending_change
from church.till.billing.lines import get_item
from church.till.billing.periods import compute_period_end
from church.till.billing.subscribing import ENDED, UPDATED, bill_subscription, get_interval, set_item
from church.till.desk import Till
from church.till.http.api import endpoint
from church.till.http.errors import CardError, TillError
from church.till.http.lists import PAGING, list_page
from church.till.http.params import Params
from church.till.store import Obj

_UPDATE = (
    "billing_cycle_anchor cancel_at cancel_at_period_end cancellation_details default_payment_method description items "
    "metadata off_session payment_behavior payment_settings proration_behavior proration_date trial_end"
)
_CAN_BE_PENDING = frozenset(
    {"billing_cycle_anchor", "expand", "items", "payment_behavior", "proration_behavior", "proration_date", "trial_end"}
)
_AT_PERIODS_END = ("min_period_end", "max_period_end")


@endpoint("GET", "/subscriptions/<subscription>")
def get_subscription(till: Till, params: Params, subscription: str) -> Obj:
    """Return a subscription."""
    return till.get("subscription", subscription)


@endpoint("GET", "/subscriptions")
def list_subscriptions(till: Till, params: Params) -> Obj:
    """List subscriptions, by customer, price and status; without a status those that have not ended."""
    params.allow(f"{PAGING} collection_method customer price status")
    status, price = params.text("status"), params.text("price")

    def wanted(subscription: Obj) -> bool:
        if price and get_item(subscription)["price"]["id"] != price:
            return False
        if status in {None, "ended"}:
            return (subscription["status"] in ENDED) == (status == "ended")
        return status in {"all", subscription["status"]}

    return list_page(till, params, "subscription", "/v1/subscriptions", wanted, customer=params.text("customer"))


@endpoint("POST", "/subscriptions/<subscription>")
def update_subscription(till: Till, params: Params, subscription: str) -> Obj:
    """Update plan, cancellation, metadata or card."""
    found = till.get("subscription", subscription)
    params.allow(_UPDATE)
    if found["status"] in ENDED and set(params.names) - {"metadata", "cancellation_details", "expand"}:
        raise TillError("A canceled subscription can only update its cancellation_details and metadata.")
    _update_fields(till, params, found)
    _update_cancellation(till, params, found)
    if "items" in params or "trial_end" in params or params.text("billing_cycle_anchor") == "now":
        _update_plan(till, params, found)
    return found


def _update_fields(till: Till, params: Params, subscription: Obj) -> None:
    values: Obj = {}
    if "metadata" in params:
        values["metadata"] = params.texts_by_name("metadata", subscription["metadata"])
    if "description" in params:
        values["description"] = params.text("description")
    if method := params.text("default_payment_method"):
        values["default_payment_method"] = till.get("payment_method", method, "default_payment_method")["id"]
    if "cancellation_details" in params:
        details = params.table("cancellation_details").allow("comment feedback")
        given = {name: details.text(name) for name in ("comment", "feedback") if name in details}
        values["cancellation_details"] = {**subscription["cancellation_details"], **given}
    till.change(subscription, UPDATED, **values)


def _update_cancellation(till: Till, params: Params, subscription: Obj) -> None:
    if "cancel_at" not in params and "cancel_at_period_end" not in params:
        return
    if subscription["schedule"]:
        raise TillError(
            f"The subscription is managed by the subscription schedule `{subscription['schedule']}`, and updating any "
            "cancelation behavior directly is not allowed. Please update the schedule instead."
        )
    if "cancel_at" in params:
        cancel_at = params.text("cancel_at")
        at = get_period_end(subscription) if cancel_at in _AT_PERIODS_END else params.number("cancel_at")
        if at is not None and at <= till.now:
            raise TillError("The timestamp must be in the future.", param="cancel_at")
        set_cancel_at(till, subscription, at=at, by_period=False)
    elif params.flag("cancel_at_period_end"):
        set_cancel_at(till, subscription, at=get_period_end(subscription), by_period=True)
    else:
        set_cancel_at(till, subscription, at=None, by_period=False)


def read_price_and_quantity(till: Till, params: Params, subscription: Obj) -> tuple[Obj, int]:
    """Return the price and quantity that ``items`` asks for; the default is the current one."""
    item, rows = get_item(subscription), params.rows("items")
    if len(rows) > 1 or any(row.allow("id price quantity").required("id") != item["id"] for row in rows):
        raise TillError(
            "A subscription of the test till has exactly one item: give its id.", "resource_missing", "items[0][id]"
        )
    price, quantity = item["price"], item["quantity"]
    for row in rows:
        if identity := row.text("price"):
            price = get_recurring_price(till, identity, "items[0][price]")
        quantity = row.number("quantity") or quantity
    if price["currency"] != subscription["currency"]:
        raise TillError("The price must have the currency of the subscription.", param="items[0][price]")
    return price, quantity


def _update_plan(till: Till, params: Params, subscription: Obj) -> None:
    drop_pending_change(till, subscription)  # this change replaces it
    now = params.text("trial_end") == "now" or params.text("billing_cycle_anchor") == "now"
    behaviour = params.choice("proration_behavior", *BEHAVIOURS)
    at = params.number("proration_date") or till.now
    change = prepare_change(
        till, subscription, *read_price_and_quantity(till, params, subscription), behaviour, at, restart=now
    )
    payment_behavior = params.choice(
        "payment_behavior", "allow_incomplete", "error_if_incomplete", "pending_if_incomplete"
    )
    if payment_behavior == "pending_if_incomplete":
        _check_pending(params)
        apply_change_when_paid(till, subscription, change)
        return
    result = apply_change(till, subscription, change)
    if result == ACTION_REQUIRED and payment_behavior == "error_if_incomplete":
        raise CardError("The payment needs an action of the customer.", "subscription_payment_intent_requires_action")
    if result not in {None, PAID} and payment_behavior == "error_if_incomplete":
        raise CardError("Your card was declined.", "card_declined", decline_code="generic_decline")


def _check_pending(params: Params) -> None:
    for name in sorted(set(params.names) - _CAN_BE_PENDING):
        raise TillError(f"`{name}` is not supported with `payment_behavior` `pending_if_incomplete`.", param=name)


@endpoint("DELETE", "/subscriptions/<subscription>")
def cancel_subscription(till: Till, params: Params, subscription: str) -> Obj:
    """Cancel a subscription now."""
    found = till.get("subscription", subscription)
    params.allow("cancellation_details invoice_now prorate")
    if found["status"] in ENDED:
        raise TillError("This subscription is already canceled.", "resource_missing", "id")
    details = params.table("cancellation_details").allow("comment feedback")
    given = {name: details.text(name) for name in ("comment", "feedback") if name in details}
    return end_subscription(till, found, "cancellation_requested", **given)


@endpoint("POST", "/subscriptions/<subscription>/resume")
def resume_subscription(till: Till, params: Params, subscription: str) -> Obj:
    """Resume a subscription that was paused after a trial without a card; a new period begins."""
    found = till.get("subscription", subscription)
    params.allow("billing_cycle_anchor proration_behavior proration_date")
    if found["status"] != "paused":
        raise TillError("Only paused subscriptions can be resumed.", param="id")
    item = get_item(found)
    span = (till.now, compute_period_end(till.now, till.now, *get_interval(item["price"])))
    till.change(found, "customer.subscription.resumed", status="active", billing_cycle_anchor=till.now)
    set_item(till, found, item["price"], item["quantity"], span)
    bill_subscription(
        till, found, [lines.make_period_line(till, found, item["price"], item["quantity"], span)], "subscription_update"
    )
    return found
