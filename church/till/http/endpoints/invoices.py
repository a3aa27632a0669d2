"""Invoices, and the preview of one."""

from __future__ import annotations

from church.till.billing import lines
from church.till.billing.cards import PAID
from church.till.billing.changing import BEHAVIOURS, weigh
from church.till.billing.collecting import collect
from church.till.billing.ending import end_of_period
from church.till.billing.invoicing import draft
from church.till.billing.periods import end_after
from church.till.billing.subscribing import ENDED, discounts_of, rhythm, settle
from church.till.desk import Desk
from church.till.http.api import endpoint
from church.till.http.endpoints.subscriptions import wished
from church.till.http.errors import AttemptError, TillError
from church.till.http.lists import PAGING, page
from church.till.http.params import Params
from church.till.store import Obj

_DETAILS = "cancel_at cancel_at_period_end items proration_behavior proration_date"


@endpoint("GET", "/invoices/<invoice>")
def get_invoice(till: Desk, params: Params, invoice: str) -> Obj:
    """One invoice."""
    return till.get("invoice", invoice)


@endpoint("GET", "/invoices")
def list_invoices(till: Desk, params: Params) -> Obj:
    """Invoices by customer, subscription, status."""
    params.only(f"{PAGING} collection_method customer status subscription")
    wish = params.text("subscription")
    return page(
        till,
        params,
        "invoice",
        "/v1/invoices",
        customer=params.text("customer"),
        status=params.text("status"),
        parent__subscription_details__subscription=wish,
    )


@endpoint("POST", "/invoices/<invoice>/pay")
def pay_invoice(till: Desk, params: Params, invoice: str) -> Obj:
    """Try the card again."""
    found = _open(till, invoice)
    params.only("off_session")
    said = collect(till, found)
    settle(till, till.get("subscription", found["parent"]["subscription_details"]["subscription"]), found, said)
    if said != PAID:
        raise AttemptError("Your card was declined.", "card_declined", decline_code="generic_decline")
    return found


@endpoint("POST", "/invoices/<invoice>/void")
def void_invoice(till: Desk, params: Params, invoice: str) -> Obj:
    """It was a mistake: nothing is due."""
    return _close(till, _open(till, invoice), "void", "voided_at", "invoice.voided")


@endpoint("POST", "/invoices/<invoice>/mark_uncollectible")
def give_up_invoice(till: Desk, params: Params, invoice: str) -> Obj:
    """It will not be paid."""
    found = _open(till, invoice)
    return _close(till, found, "uncollectible", "marked_uncollectible_at", "invoice.marked_uncollectible")


def _open(till: Desk, invoice: str) -> Obj:
    found = till.get("invoice", invoice)
    if found["status"] != "open":
        raise TillError(f"This invoice is {found['status']}: only an open one can be changed.", param="invoice")
    return found


def _close(till: Desk, found: Obj, status: str, moment: str, event: str) -> Obj:
    moments = {**found["status_transitions"], moment: till.now}
    return till.change(found, event, next_payment_attempt=None, status=status, status_transitions=moments)


@endpoint("POST", "/invoices/create_preview")
def preview_invoice(till: Desk, params: Params) -> Obj:
    """The invoice that would come next, with or without a change of plan."""
    params.only("customer subscription subscription_details")
    found = till.get("subscription", params.needed("subscription"), "subscription")
    details = params.table("subscription_details").only(_DETAILS)
    if _comes_to_nothing(found, details):
        raise TillError("No upcoming invoices for customer", "invoice_upcoming_none", "subscription")
    parts, reason = _parts(till, details, found)
    made = draft(till, found, parts, reason, discounts_of(till, found))
    made["id"] = f"upcoming_{made['id']}"
    made["customer"] = params.text("customer") or made["customer"]
    return made


def _comes_to_nothing(found: Obj, details: Params) -> bool:
    ending = found["cancel_at"] is not None and found["cancel_at"] <= end_of_period(found)
    return found["status"] in ENDED or (
        "items" not in details and (ending or bool(details.flag("cancel_at_period_end")))
    )


def _parts(till: Desk, details: Params, found: Obj) -> tuple[list[Obj], str]:
    price, quantity = wished(till, details, found)
    behaviour = details.choice("proration_behavior", *BEHAVIOURS)
    at = details.number("proration_date") or till.now
    change = weigh(till, found, price, quantity, behaviour, at)
    waiting = till.store.get(f"pending_{found['id']}")
    parts = [*(waiting["data"] if waiting else []), *change.parts]
    if change.invoiced:
        return parts, "subscription_update"
    begin = change.span[1]
    until = end_after(begin, found["billing_cycle_anchor"], *rhythm(price))
    return [*parts, lines.whole(till, found, price, quantity, (begin, until))], "upcoming"
