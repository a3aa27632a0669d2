"""Ledger entries page by page, and their totals of each month and currency."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask

from church.database.paging import Place
from church.models import User
from church.services.billing.ledger import MonthTotal, list_ledger_entries, list_months
from tests.support.billing_rows import add_entry
from tests.support.people import add_user


def test_entries_are_listed_newest_first_page_by_page(ada: User) -> None:
    """A page ends at its limit, and the next begins before its last id."""
    ids = [add_entry(ada.id, amount).id for amount in (100, 200, 300, 400)]
    first = list_ledger_entries(place=Place(size=3))
    assert [entry.id for entry in first] == ids[:0:-1]
    assert [entry.id for entry in list_ledger_entries(place=Place(before=first[-1].id, size=3))] == ids[:1]
    assert list_ledger_entries(place=Place(before=ids[0])) == []


def test_entry_shows_its_amount_and_its_member(ada: User) -> None:
    """The amount is in minor units, and as people write it in the currency."""
    add_entry(ada.id, -500, "refund", source_id="refund:re_1", stripe_invoice="in_1")
    add_entry(ada.id, 800, currency="jpy")
    yen, dollars = list_ledger_entries()
    assert (yen.shown, yen.amount, yen.stripe_invoice) == ("¥800", 800, None)
    assert (dollars.kind, dollars.amount, dollars.source_id, dollars.stripe_invoice) == (
        "refund", -500, "refund:re_1", "in_1",
    )  # fmt: skip
    assert "5.00" in dollars.shown
    assert (dollars.user_ref, dollars.user_name) == (ada.ref, "Ada")


def test_entries_are_filtered_by_currency_and_member(at_work: Flask, ada: User) -> None:
    """Both filters together leave the entries that match both."""
    bob = add_user(at_work, "bob@church.example", password_hash="x")
    add_entry(ada.id, 1)
    add_entry(ada.id, 2, currency="eur")
    add_entry(bob.id, 3, currency="eur")
    assert [entry.amount for entry in list_ledger_entries(currency="eur")] == [3, 2]
    assert [entry.amount for entry in list_ledger_entries(user_ref=ada.ref)] == [2, 1]
    assert [entry.amount for entry in list_ledger_entries(currency="eur", user_ref=ada.ref)] == [2]
    assert list_ledger_entries(currency="EUR") == list_ledger_entries(user_ref="nobody") == []


def test_months_are_split_by_utc_month_and_currency(ada: User) -> None:
    """The latest month comes first; the last second of a month still belongs to it."""
    april, may = datetime(2026, 4, 30, 23, 59, 59, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
    add_entry(ada.id, 1000, occurred_at=april)
    add_entry(ada.id, 500, occurred_at=may)
    add_entry(ada.id, 300, occurred_at=may, currency="eur")
    assert list_months() == [
        MonthTotal("2026-05", "eur", payments=300, refunds=0, disputes=0, count=1),
        MonthTotal("2026-05", "usd", payments=500, refunds=0, disputes=0, count=1),
        MonthTotal("2026-04", "usd", payments=1000, refunds=0, disputes=0, count=1),
    ]
    assert [total.currency for total in list_months(limit=2)] == ["eur", "usd"]


@pytest.mark.parametrize(
    ("moved", "refunds", "disputes", "net"),
    [
        ([("refund", -400)], -400, 0, 600),
        ([("refund", -400), ("refund_failed", 400)], 0, 0, 1000),
        ([("dispute", -1000)], 0, -1000, 0),
        ([("dispute", -1000), ("dispute_reversal", 1000), ("refund", -1)], -1, 0, 999),
    ],
)
def test_month_nets_refunds_and_disputes_with_what_takes_them_back(
    ada: User, moved: list[tuple[str, int]], refunds: int, disputes: int, net: int
) -> None:
    """A failed refund is no refund, and a dispute that was won is none."""
    add_entry(ada.id, 1000)
    for kind, amount in moved:
        add_entry(ada.id, amount, kind)
    [total] = list_months()
    assert (total.payments, total.refunds, total.disputes, total.net) == (1000, refunds, disputes, net)
    assert total.count == 1 + len(moved)


def test_ledger_without_entries_is_empty(at_work: Flask) -> None:
    """No month is made up."""
    assert (list_ledger_entries(), list_months()) == ([], [])
