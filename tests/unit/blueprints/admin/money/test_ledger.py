"""The payment ledger in the admin area, as pages and as CSV."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask

from church.database import DatabaseDownError
from church.models import User
from church.services.billing import ledger
from tests.support.desk import AdminBrowser, add_person
from tests.support.membership_admin import pay
from tests.support.stripe_fixture import SiteWithFakeStripe, make_event

HOSTILE = '"><svg onload=x>{{7*7}}</pre>'
ROOT = "/admin/membership"


@pytest.fixture
def app(shop: SiteWithFakeStripe) -> Flask:
    """The site with the fake Stripe."""
    return shop.app


def test_ledger_shows_amounts_in_the_notation_of_their_currency(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User
) -> None:
    pay(shop, ada, 1200, 999)
    eve = add_person(shop.app, "eve@church.example", name=HOSTILE)
    shop.stripe.price("price_jpy", "prod_patron", 800, "jpy")
    yen = shop.stripe.subscription(shop.stripe.customer(eve.ref), "price_jpy")
    shop.deliver(make_event("invoice.paid", shop.stripe.invoice(yen, paid=800)))
    page = desk.get(f"{ROOT}/ledger").text
    for words in ("$12.00", "$9.99", "$21.99", "¥800", ada.ref, "2026-09 USD", "2026-09 JPY"):
        assert words in page
    assert "<svg onload" not in page
    data = desk.data(f"{ROOT}/ledger?currency=jpy")
    assert [one["amount"] for one in data["entries"]["rows"]] == [800]
    assert [(one["currency"], one["net"]) for one in data["totals"]] == [("jpy", 800), ("usd", 2199)]
    assert len(desk.data(f"{ROOT}/ledger?member={ada.ref}")["entries"]["rows"]) == 2
    assert "No matches." in desk.get(f"{ROOT}/ledger?member=nobody").text


def test_ledger_is_downloaded_with_the_filter_of_the_page(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User
) -> None:
    pay(shop, ada, 1200, 999)
    page = desk.get(f"{ROOT}/ledger?member={ada.ref}").text
    (link,) = re.findall(r'href="([^"]+ledger\.csv[^"]*)"', page)
    assert link == f"{ROOT}/ledger.csv?member={ada.ref}"
    found = desk.get(link)
    assert found.mimetype == "text/csv"
    assert re.fullmatch(r"attachment; filename=ledger-\d{4}-\d\d-\d\d\.csv", found.headers["Content-Disposition"])
    assert [line.split(",")[4] for line in found.text.splitlines()] == ["amount", "9.99", "12.00"]
    assert len(desk.get(f"{ROOT}/ledger.csv?member=nobody").text.splitlines()) == 1


def test_ledger_file_with_the_database_down_is_an_error_page(
    desk: AdminBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_query: object) -> Any:
        raise DatabaseDownError

    monkeypatch.setattr(ledger, "list_ledger_entries", away)
    assert desk.get(f"{ROOT}/ledger.csv").status_code == 503


def test_ledger_file_in_many_pieces_is_complete_and_can_be_aborted(
    shop: SiteWithFakeStripe, desk: AdminBrowser, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_BATCH", 1)
    pay(shop, ada, 100, 200, 300)
    assert len(desk.get(f"{ROOT}/ledger.csv").text.splitlines()) == 4
    left = desk.client.get(f"{ROOT}/ledger.csv", buffered=False)
    assert bytes(next(iter(left.iter_encoded()))).startswith(b"entry,")
    left.close()
    assert desk.client.head(f"{ROOT}/ledger.csv").status_code == 200
