"""Endpoints of invoices, and of the preview of the next one."""

from __future__ import annotations

from church.till.billing import lines
from church.till.billing.cards import PAID
from church.till.billing.changing import BEHAVIOURS, prepare_change
from church.till.billing.collecting import collect_payment
from church.till.billing.ending import get_period_end
from church.till.billing.invoicing import draft_invoice
from church.till.billing.lines import list_items
from church.till.billing.periods import compute_period_end
from church.till.billing.scheduling import items_of_phase
from church.till.billing.subscribing import ENDED, get_interval, list_discounts, update_after_payment
from church.till.desk import Till
from church.till.http.api import endpoint
from church.till.http.endpoints.subscriptions import read_items
from church.till.http.errors import RecordedCardError, TillError
from church.till.http.lists import PAGING, list_page
from church.till.http.params import Params
from church.till.store import Obj

_DETAILS = "cancel_at cancel_at_period_end items proration_behavior proration_date"


@endpoint("GET", "/invoices/<invoice>")
def get_invoice(till: Till, params: Params, invoice: str) -> Obj:
    """Return an invoice."""
    return till.get("invoice", invoice)


@endpoint("GET", "/invoices")
def list_invoices(till: Till, params: Params) -> Obj:
    """List invoices, by customer, subscription and status."""
    params.allow(f"{PAGING} collection_method customer status subscription")
    subscription = params.text("subscription")
    return list_page(
        till,
        params,
        "invoice",
        "/v1/invoices",
        customer=params.text("customer"),
        status=params.text("status"),
        parent__subscription_details__subscription=subscription,
    )


@endpoint("POST", "/invoices/<invoice>/pay")
def pay_invoice(till: Till, params: Params, invoice: str) -> Obj:
    """Charge the card again."""
    found = _open(till, invoice)
    params.allow("off_session")
    result = collect_payment(till, found)
    update_after_payment(
        till, till.get("subscription", found["parent"]["subscription_details"]["subscription"]), found, result
    )
    if result != PAID:
        raise RecordedCardError("Your card was declined.", "card_declined", decline_code="generic_decline")
    return found


@endpoint("POST", "/invoices/<invoice>/void")
def void_invoice(till: Till, params: Params, invoice: str) -> Obj:
    """Void an open invoice."""
    return _close(till, _open(till, invoice), "void", "voided_at", "invoice.voided")


@endpoint("POST", "/invoices/<invoice>/mark_uncollectible")
def mark_invoice_uncollectible(till: Till, params: Params, invoice: str) -> Obj:
    """Mark an open invoice as uncollectible."""
    found = _open(till, invoice)
    return _close(till, found, "uncollectible", "marked_uncollectible_at", "invoice.marked_uncollectible")


def _open(till: Till, invoice: str) -> Obj:
    found = till.get("invoice", invoice)
    if found["status"] != "open":
        raise TillError(f"This invoice is {found['status']}: only an open one can be changed.", param="invoice")
    return found


def _close(till: Till, invoice: Obj, status: str, transition: str, event: str) -> Obj:
    transitions = {**invoice["status_transitions"], transition: till.now}
    return till.change(invoice, event, next_payment_attempt=None, status=status, status_transitions=transitions)


@endpoint("POST", "/invoices/create_preview")
def preview_invoice(till: Till, params: Params) -> Obj:
    """Preview the next invoice, with or without a change of plan."""
    params.allow("customer preview_mode subscription subscription_details")
    subscription = till.get("subscription", params.required("subscription"), "subscription")
    details = params.table("subscription_details").allow(_DETAILS)
    if _has_no_next_invoice(subscription, details):
        raise TillError("No upcoming invoices for customer", "invoice_upcoming_none", "subscription")
    recurring = params.choice("preview_mode", "next", "recurring") == "recurring"
    parts, reason = (_recurring if recurring else _parts)(till, details, subscription)
    preview = draft_invoice(till, subscription, parts, reason, list_discounts(till, subscription))
    preview["id"] = f"upcoming_{preview['id']}"
    preview["customer"] = params.text("customer") or preview["customer"]
    return preview


def _has_no_next_invoice(subscription: Obj, details: Params) -> bool:
    cancel_at = subscription["cancel_at"]
    ending = cancel_at is not None and cancel_at <= get_period_end(subscription)
    return subscription["status"] in ENDED or (
        "items" not in details and (ending or bool(details.flag("cancel_at_period_end")))
    )


def _parts(till: Till, details: Params, subscription: Obj) -> tuple[list[Obj], str]:
    items = read_items(till, details, subscription)
    behaviour = details.choice("proration_behavior", *BEHAVIOURS)
    at = details.number("proration_date") or till.now
    change = prepare_change(till, subscription, items, behaviour, at)
    pending = till.store.get(f"pending_{subscription['id']}")
    parts = [*(pending["data"] if pending else []), *change.parts]
    if change.invoiced:
        return parts, "subscription_update"
    return [*parts, *_renewal(till, subscription, change.items, change.span[1])], "upcoming"


def _recurring(till: Till, details: Params, subscription: Obj) -> tuple[list[Obj], str]:
    """Return the lines of a period after the change, without prorations."""
    items = read_items(till, details, subscription)
    return _renewal(till, subscription, items, get_period_end(subscription)), "upcoming"


def _renewal(till: Till, subscription: Obj, items: list[Obj], begin: int) -> list[Obj]:
    """Return the lines of the next period; a schedule may have other items from then on."""
    schedule = till.store.get(subscription["schedule"]) if subscription["schedule"] else None
    due = [phase for phase in (schedule or {"phases": []})["phases"] if phase["start_date"] == begin]
    if due and items == list_items(subscription):
        items = items_of_phase(till, subscription, due[0])
    until = compute_period_end(begin, subscription["billing_cycle_anchor"], *get_interval(items[0]["price"]))
    return lines.make_period_lines(till, subscription, items, (begin, until))
