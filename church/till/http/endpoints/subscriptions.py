"""Endpoints of subscriptions: create, read, update, cancel, resume."""

from __future__ import annotations

from church.till.billing import lines
from church.till.billing.cards import ACTION_REQUIRED, PAID
from church.till.billing.changing import BEHAVIOURS, apply_change, apply_change_when_paid, prepare_change
from church.till.billing.checkout import get_recurring_price, redeem_coupon
from church.till.billing.ending import end_subscription, get_period_end, set_cancel_at
from church.till.billing.holding import drop_pending_change
from church.till.billing.lines import get_currency_options, get_item, list_items
from church.till.billing.periods import compute_period_end
from church.till.billing.subscribing import (
    ENDED,
    UPDATED,
    bill_subscription,
    get_interval,
    make_item,
    set_items,
    start_subscription,
)
from church.till.desk import Till
from church.till.http.api import endpoint
from church.till.http.errors import CardError, TillError
from church.till.http.lists import PAGING, list_page
from church.till.http.params import Params
from church.till.store import Obj

_UPDATE = (
    "billing_cycle_anchor cancel_at cancel_at_period_end cancellation_details collection_method days_until_due "
    "default_payment_method description discounts items metadata off_session pause_collection payment_behavior "
    "payment_settings proration_behavior proration_date trial_end"
)
_CREATE = (
    "collection_method currency customer days_until_due default_payment_method description discounts items metadata "
    "off_session trial_end"
)
_ITEM = "deleted discounts id price quantity"
_PAUSES = ("void", "keep_as_draft", "mark_uncollectible")
_CAN_BE_PENDING = frozenset(
    {"billing_cycle_anchor", "expand", "items", "payment_behavior", "proration_behavior", "proration_date", "trial_end"}
)
_AT_PERIODS_END = ("min_period_end", "max_period_end")


@endpoint("POST", "/subscriptions")
def create_subscription(till: Till, params: Params) -> Obj:
    """Create a subscription without a checkout, as the dashboard does; with one item or several."""
    params.allow(_CREATE)
    customer = till.get("customer", params.required("customer"), "customer")
    wanted = [_new_item(till, row) for row in params.rows("items")]
    if not wanted:
        raise TillError("Missing required param: items.", "parameter_missing", "items")
    check_items(till, wanted, params.text("currency") or wanted[0]["price"]["currency"])
    method = params.text("default_payment_method")
    values: Obj = {name: params.text(name) for name in ("currency", "description") if params.text(name)}
    return start_subscription(
        till,
        customer["id"],
        wanted[0]["price"],
        wanted[0]["quantity"],
        till.get("payment_method", method, "default_payment_method")["id"] if method else None,
        wanted=wanted,
        trial_end=params.number("trial_end"),
        discounts=_read_discounts(till, params, customer["id"]),
        metadata=params.texts_by_name("metadata"),
        **values,
        **_read_collection(params),
    )


def _new_item(till: Till, row: Params) -> Obj:
    price = get_recurring_price(till, row.allow(_ITEM).required("price"), "items[0][price]")
    quantity = row.number("quantity")
    discounts = [discount["id"] for discount in _read_discounts(till, row, None)]
    return {"price": price, "quantity": 1 if quantity is None else quantity, "discounts": discounts}


def _read_discounts(till: Till, params: Params, customer: str | None) -> list[Obj]:
    """Redeem the coupons that ``discounts`` names, and find the discounts that it keeps."""
    found = []
    for row in params.rows("discounts"):
        row.allow("coupon discount")
        if (kept := row.text("discount")) is not None:
            found.append(till.get("discount", kept, "discounts[0][discount]"))
        else:
            found.append(redeem_coupon(till, row.required("coupon"), customer))
    return found


def _read_collection(params: Params) -> Obj:
    values: Obj = {}
    if "collection_method" in params:
        values["collection_method"] = params.choice("collection_method", "charge_automatically", "send_invoice")
    if (days := params.number("days_until_due")) is not None:
        values["days_until_due"] = days
    return values


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
        if price and price not in {item["price"]["id"] for item in list_items(subscription)}:
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
    if "discounts" in params:
        found = _read_discounts(till, params, subscription["customer"])
        values["discounts"] = [discount["id"] for discount in found]
    if "pause_collection" in params:
        values["pause_collection"] = _read_pause(params)
    values.update(_read_collection(params))
    if method := params.text("default_payment_method"):
        values["default_payment_method"] = till.get("payment_method", method, "default_payment_method")["id"]
    if "cancellation_details" in params:
        details = params.table("cancellation_details").allow("comment feedback")
        given = {name: details.text(name) for name in ("comment", "feedback") if name in details}
        values["cancellation_details"] = {**subscription["cancellation_details"], **given}
    till.change(subscription, UPDATED, **values)


def _read_pause(params: Params) -> Obj | None:
    """Read how collection pauses; an empty value resumes it."""
    if params.is_empty("pause_collection"):
        return None
    pause = params.table("pause_collection").allow("behavior resumes_at")
    return {"behavior": pause.choice("behavior", *_PAUSES), "resumes_at": pause.number("resumes_at")}


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


def read_items(till: Till, params: Params, subscription: Obj) -> list[Obj]:
    """Return all items as ``items`` changes them: a row with an id changes or removes one, without one it adds one.

    Items that are not named stay.
    """
    items = {item["id"]: item for item in list_items(subscription)}
    for row in params.rows("items"):
        identity = row.allow(_ITEM).text("id")
        if identity is None:
            added = make_item(till, subscription["id"], get_span(subscription), **_new_item(till, row))
            items[added["id"]] = added
        elif identity not in items:
            raise TillError("No such subscription item.", "resource_missing", "items[0][id]")
        elif row.flag("deleted"):
            del items[identity]
        else:
            items[identity] = _changed_item(till, row, items[identity])
    found = list(items.values())
    if not found:
        raise TillError("A subscription needs at least one item.", param="items")
    check_items(till, found, subscription["currency"])
    return found


def _changed_item(till: Till, row: Params, item: Obj) -> Obj:
    values: Obj = {}
    if identity := row.text("price"):
        values["price"] = get_recurring_price(till, identity, "items[0][price]")
    if (quantity := row.number("quantity")) is not None:
        values["quantity"] = quantity
    if "discounts" in row:
        values["discounts"] = [discount["id"] for discount in _read_discounts(till, row, None)]
    return {**item, **values}


def check_items(till: Till, items: list[Obj], currency: str) -> None:
    """Raise TillError for items that a subscription in ``currency`` can't have together."""
    prices = [item["price"] for item in items]
    if any(currency not in get_currency_options(till, price) for price in prices):
        raise TillError("The price must have the currency of the subscription.", param="items[0][price]")
    if len({get_interval(price) for price in prices}) > 1:
        raise TillError("At the test till, all items of a subscription have one interval.", param="items[0][price]")
    if len({price["id"] for price in prices}) < len(prices):
        raise TillError("A subscription cannot have two items with the same price.", param="items[0][price]")


def get_span(subscription: Obj) -> tuple[int, int]:
    """Return the current period, which all items share."""
    item = get_item(subscription)
    return item["current_period_start"], item["current_period_end"]


def _update_plan(till: Till, params: Params, subscription: Obj) -> None:
    drop_pending_change(till, subscription)  # this change replaces it
    now = params.text("trial_end") == "now" or params.text("billing_cycle_anchor") == "now"
    behaviour = params.choice("proration_behavior", *BEHAVIOURS)
    at = params.number("proration_date") or till.now
    change = prepare_change(till, subscription, read_items(till, params, subscription), behaviour, at, restart=now)
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
    items = list_items(found)
    span = (till.now, compute_period_end(till.now, till.now, *get_interval(items[0]["price"])))
    till.change(found, "customer.subscription.resumed", status="active", billing_cycle_anchor=till.now)
    set_items(till, found, items, span)
    bill_subscription(till, found, lines.make_period_lines(till, found, items, span), "subscription_update")
    return found
