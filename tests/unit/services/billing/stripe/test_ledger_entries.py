"""Booking what was fetched from Stripe: each movement once, whatever event brings it."""

from __future__ import annotations

from typing import Any

import pytest

from church.extensions import db
from church.models import LedgerEntry, User
from church.models.base import utc_now
from church.services.billing.stripe.fetch import Facts
from church.services.billing.stripe.ledger_entries import book_entries
from tests.support.billing_rows import stored
from tests.support.stripe_fixture import START, Obj, utc_time


def book(user: User, **fetched: Any) -> list[tuple[str, str, int]]:
    """Book entries of the fetched objects; return source, kind and amount of those that are new."""
    facts = Facts(utc_now(), owner_id=user.id, customer_id="cus_1", payment="pi_1", **fetched)
    before = len(stored(LedgerEntry))
    with db.write() as session:
        count = book_entries(session, facts)
    new = stored(LedgerEntry)[before:]
    assert len(new) == count
    return [(row.source_id, row.kind, row.amount) for row in new]


def payment(stripe_id: str = "inpay_1", **values: Any) -> Obj:
    paid_by = {"type": "payment_intent", "payment_intent": "pi_1"}
    transitions = {"paid_at": START}
    fields = {"status": "paid", "amount_paid": 1200, "currency": "USD", "payment": paid_by}
    return {"id": stripe_id, "status_transitions": transitions, **fields, **values}


def invoice(*payments: Obj) -> dict[str, Obj]:
    return {"in_1": {"id": "in_1", "status": "paid", "amount_paid": 1200, "payments": {"data": list(payments)}}}


def whole_invoice(**values: Any) -> dict[str, Obj]:
    """An invoice as a stand-in for Stripe gives it, without a list of payments."""
    return {"in_1": {"id": "in_1", "status": "paid", "amount_paid": 1200, "currency": "usd", **values}}


def refund(status: str, **values: Any) -> Obj:
    return {"id": "re_1", "status": status, "amount": 500, "currency": "usd", "created": START, **values}


def test_payment_is_booked_once_with_its_source(ada: User) -> None:
    """The same invoice brings nothing new; the currency is in lower case."""
    assert book(ada, invoices=invoice(payment())) == [("in_payment:inpay_1", "payment", 1200)]
    assert book(ada, invoices=invoice(payment())) == []
    [row] = stored(LedgerEntry)
    assert (row.user_id, row.stripe_customer, row.stripe_invoice, row.stripe_payment) == (
        ada.id, "cus_1", "in_1", "pi_1",
    )  # fmt: skip
    assert (row.currency, row.occurred_at) == ("usd", utc_time(START))


def test_payment_open_or_of_nothing_is_not_booked(ada: User) -> None:
    """An invoice has payments that were tried, and a trial's invoice is for nothing."""
    tried = payment("inpay_open", status="open"), payment("inpay_zero", amount_paid=0)
    assert book(ada, invoices=invoice(*tried)) == []
    assert book(ada, invoices=whole_invoice(status="open")) == []
    assert book(ada, invoices=whole_invoice(amount_paid=0)) == []


@pytest.mark.parametrize("whole_first", [True, False])
def test_invoice_with_and_without_its_payments_is_booked_once(ada: User, whole_first: bool) -> None:
    """Both entries are about the same money."""
    expected = [("invoice:in_1", "payment", 1200), ("in_payment:inpay_1", "payment", 1200)]
    both = [whole_invoice(), invoice(payment())]
    first, second = both if whole_first else both[::-1]
    assert book(ada, invoices=first) == [expected[0 if whole_first else 1]]
    assert book(ada, invoices=second) == []


def test_refund_is_negative_and_booked_once_it_succeeds(ada: User) -> None:
    """A pending one has moved nothing."""
    assert book(ada, refunds=[refund("pending")]) == []
    assert book(ada, refunds=[refund("succeeded")]) == [("refund:re_1", "refund", -500)]
    assert book(ada, refunds=[refund("succeeded")]) == []


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_refund_that_failed_is_taken_back_only_if_it_was_booked(ada: User, status: str) -> None:
    """One that was cancelled before its money moved leaves no entry at all."""
    assert book(ada, refunds=[refund(status)]) == []
    book(ada, refunds=[refund("succeeded")])
    assert book(ada, refunds=[refund(status)]) == [("refund_failed:re_1", "refund_failed", 500)]
    assert sum(row.amount for row in stored(LedgerEntry)) == 0
    assert book(ada, refunds=[refund("succeeded")]) == []


def test_refund_whose_money_came_back_is_booked_both_ways(ada: User) -> None:
    """Only the failure was reported: the refund itself had moved money before."""
    assert book(ada, refunds=[refund("failed", failure_balance_transaction="txn_1")]) == [
        ("refund:re_1", "refund", -500), ("refund_failed:re_1", "refund_failed", 500),
    ]  # fmt: skip


def test_dispute_books_what_it_withdrew_and_what_it_reinstated(ada: User) -> None:
    """Each is booked when Stripe moves it, and dated by that movement."""
    dispute = {"id": "dp_1", "amount": 1200, "currency": "usd", "created": START, "balance_transactions": []}
    assert book(ada, disputes=[dispute]) == []
    taken, given = {"amount": -1200, "created": START + 9}, {"amount": 1200, "created": START + 99}
    dispute["balance_transactions"] = [taken]
    assert book(ada, disputes=[dispute]) == [("dispute:dp_1:withdrawn", "dispute", -1200)]
    dispute["balance_transactions"] = [taken, given, "txn_not_expanded"]
    assert book(ada, disputes=[dispute]) == [("dispute:dp_1:reinstated", "dispute_reversal", 1200)]
    assert [row.occurred_at for row in stored(LedgerEntry)] == [utc_time(START + 9), utc_time(START + 99)]
