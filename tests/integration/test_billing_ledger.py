"""The ledger on both databases: payments, refunds, disputes and their reversals, in three currencies."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import permutations

import pytest

from church.config import Settings
from church.database.paging import Place
from church.extensions import db
from church.models import LedgerEntry
from church.models.base import utc_now
from church.services import billing
from church.services.billing import scrape_counts
from tests.support.stripe_fixture import Obj, SiteWithFakeStripe, add_member, make_event

pytestmark = pytest.mark.services


@pytest.fixture
def shop(migrated_site: Settings) -> Iterator[SiteWithFakeStripe]:
    shop = SiteWithFakeStripe(migrated_site)
    shop.stripe.price("price_jpy", "prod_patron", 800, "jpy")
    shop.stripe.price("price_kwd", "prod_patron", 2500, "kwd")
    yield shop
    shop.close()


def _paid(shop: SiteWithFakeStripe, amount: int, price: str = "price_month") -> Obj:
    """A paid invoice whose webhook has not arrived."""
    _, ref = add_member(shop.app)
    return shop.stripe.invoice(shop.stripe.subscription(shop.stripe.customer(ref), price), paid=amount)


def _totals(shop: SiteWithFakeStripe) -> list[tuple[str, Decimal, Decimal]]:
    with shop.app.app_context():
        return scrape_counts.sum_by_currency()


def _booked(shop: SiteWithFakeStripe) -> list[tuple[str, int, str]]:
    return sorted((one.kind, one.amount, one.currency) for one in shop.rows(LedgerEntry))


def test_ledger_totals_in_three_currencies_equal_the_metrics(shop: SiteWithFakeStripe) -> None:
    for amounts, price in (((1200, 1200, 999), "price_month"), ((800, 801), "price_jpy"), ((2500, 3120), "price_kwd")):
        invoices = [_paid(shop, amount, price) for amount in amounts]
        for invoice in invoices:
            shop.deliver(make_event("invoice.paid", invoice))
        currency = invoices[0]["currency"]
        refund = shop.stripe.refund(shop.stripe.charge_of(invoices[0]), amounts[0] // 10 * 5, currency)
        shop.deliver(make_event("refund.created", refund))
    with shop.app.app_context():
        totals = {currency: (paid, refunded) for currency, paid, refunded in scrape_counts.sum_by_currency()}
        months = billing.list_months()
        entries = billing.list_ledger_entries(place=Place(size=200))
    assert totals == {
        "usd": (Decimal("33.99"), Decimal("6.00")),
        "jpy": (Decimal(1601), Decimal(400)),
        "kwd": (Decimal("5.620"), Decimal("1.250")),
    }
    assert {(one.currency, one.payments, one.refunds, one.disputes, one.net) for one in months} == {
        ("usd", 3399, -600, 0, 2799),
        ("jpy", 1601, -400, 0, 1201),
        ("kwd", 5620, -1250, 0, 4370),
    }
    for one in months:
        assert one.net == sum(entry.amount for entry in entries if entry.currency == one.currency)
    assert {entry.shown for entry in entries} >= {"$9.99", "¥801", "KWD 3.120", "-$6.00", "-KWD 1.250"}


def test_month_totals_are_split_by_month(shop: SiteWithFakeStripe) -> None:
    first, second = _paid(shop, 100), _paid(shop, 200)
    second["payments"]["data"][0]["status_transitions"]["paid_at"] += 40 * 86400
    for invoice in (first, second):
        shop.deliver(make_event("invoice.paid", invoice))
    with shop.app.app_context():
        months = billing.list_months()
    assert [(one.month, one.payments, one.count) for one in months] == [("2026-10", 200, 1), ("2026-09", 100, 1)]


def test_refund_event_before_its_payment_books_both(shop: SiteWithFakeStripe) -> None:
    invoice = _paid(shop, 1200)
    refund = shop.stripe.refund(shop.stripe.charge_of(invoice), 500)
    shop.deliver(make_event("charge.refunded", shop.stripe.charge_of(invoice)))
    assert _booked(shop) == [("payment", 1200, "usd"), ("refund", -500, "usd")]
    shop.deliver(make_event("refund.created", refund))
    shop.deliver(make_event("refund.updated", refund))
    shop.deliver(make_event("invoice.paid", invoice))
    shop.deliver(make_event("invoice_payment.paid", invoice["payments"]["data"][0]))
    assert len(_booked(shop)) == 2


@pytest.mark.parametrize("booked_before", [True, False])
def test_refund_of_a_charge_without_a_customer_belongs_to_the_payer(
    shop: SiteWithFakeStripe, booked_before: bool
) -> None:
    invoice = _paid(shop, 1200)
    charge = shop.stripe.charge_of(invoice)
    charge["customer"] = None
    if booked_before:
        shop.deliver(make_event("invoice.paid", invoice))
    assert shop.deliver(make_event("refund.created", shop.stripe.refund(charge, 500))).status == "processed"
    payment, refund = shop.rows(LedgerEntry)
    assert (refund.amount, refund.user_id) == (-500, payment.user_id)
    assert refund.stripe_customer == payment.stripe_customer == invoice["customer"]


def test_refund_pending_is_booked_when_it_succeeds(shop: SiteWithFakeStripe) -> None:
    refund = shop.stripe.refund(shop.stripe.charge_of(_paid(shop, 1200)), 500, status="pending")
    shop.deliver(make_event("refund.created", refund))
    assert _booked(shop) == [("payment", 1200, "usd")]
    refund["status"] = "succeeded"
    shop.deliver(make_event("refund.updated", refund))
    assert ("refund", -500, "usd") in _booked(shop)


@pytest.mark.parametrize("order", list(permutations(["refund.created", "refund.updated", "refund.failed"])))
def test_refund_failed_adds_up_to_zero_in_any_order(shop: SiteWithFakeStripe, order: tuple[str, ...]) -> None:
    refund = shop.stripe.refund(shop.stripe.charge_of(_paid(shop, 1200)), 500)
    for kind in order:
        shop.deliver(make_event(kind, refund))
        refund["status"] = "failed"
    assert sum(amount for _, amount, _ in _booked(shop)) == 1200
    assert ("refund_failed", 500, "usd") in _booked(shop)


@pytest.mark.sqlite_alone
def test_totals_include_later_entries_in_any_order(shop: SiteWithFakeStripe) -> None:
    user_id, _ = add_member(shop.app)

    def booked(number: int, amount: int, currency: str) -> None:
        when = {"occurred_at": utc_now()}
        whose = {"user_id": user_id, "stripe_customer": "cus_1", "source_id": f"payment:{number}"}
        with shop.app.app_context(), db.write() as session:
            session.add(LedgerEntry(id=number, kind="payment", amount=amount, currency=currency, **whose, **when))

    assert _totals(shop) == []
    booked(10, 1200, "usd")
    assert _totals(shop) == [("usd", Decimal(12), Decimal(0))] == _totals(shop)
    booked(11, 800, "jpy")
    assert _totals(shop) == [("jpy", Decimal(800), Decimal(0)), ("usd", Decimal(12), Decimal(0))]
    booked(9, 300, "usd")  # its transaction began before that of 10 and ended after it
    booked(12, 200, "usd")
    assert _totals(shop) == [("jpy", Decimal(800), Decimal(0)), ("usd", Decimal(17), Decimal(0))]


@pytest.mark.parametrize("before", ["requires_action", "pending"])
@pytest.mark.parametrize("after", ["canceled", "failed"])
def test_refund_ended_before_its_money_moved_is_not_counted(shop: SiteWithFakeStripe, before: str, after: str) -> None:
    refund = shop.stripe.refund(shop.stripe.charge_of(_paid(shop, 1200)), 500, status=before)
    shop.deliver(make_event("refund.created", refund))
    refund["status"] = after
    shop.deliver(make_event("refund.updated", refund))
    assert _booked(shop) == [("payment", 1200, "usd")]
    with shop.app.app_context():
        assert scrape_counts.sum_by_currency() == [("usd", Decimal(12), Decimal(0))]
        found = billing.reconcile_with_stripe()
        asked = [method for method, _, _ in shop.stripe.calls].count("refunds.retrieve")
    assert (found.repaired, asked) == (2, 2)  # the two prices without a sale


def test_refund_failed_after_its_money_moved_is_booked_both_ways(shop: SiteWithFakeStripe) -> None:
    refund = shop.stripe.refund(shop.stripe.charge_of(_paid(shop, 1200)), 500, status="failed")
    refund["failure_balance_transaction"] = "txn_1"
    shop.deliver(make_event("refund.failed", refund))
    assert _booked(shop) == [("payment", 1200, "usd"), ("refund", -500, "usd"), ("refund_failed", 500, "usd")]


def test_dispute_withdraws_the_money_and_reinstates_it_when_won(shop: SiteWithFakeStripe) -> None:
    charge = shop.stripe.charge_of(_paid(shop, 1200))
    dispute = shop.stripe.dispute(charge)
    shop.deliver(make_event("charge.dispute.created", dispute))
    assert _booked(shop) == [("payment", 1200, "usd")]
    dispute["balance_transactions"] = [{"amount": -1200, "created": 1_790_000_100}]
    shop.deliver(make_event("charge.dispute.funds_withdrawn", dispute))
    assert ("dispute", -1200, "usd") in _booked(shop)
    dispute["balance_transactions"].append({"amount": 1200, "created": 1_790_000_200})
    shop.deliver(make_event("charge.dispute.closed", dispute))
    shop.deliver(make_event("charge.dispute.funds_reinstated", dispute))
    assert _booked(shop) == [("dispute", -1200, "usd"), ("dispute_reversal", 1200, "usd"), ("payment", 1200, "usd")]
    with shop.app.app_context():
        (month,) = billing.list_months()
    assert (month.disputes, month.net) == (0, 1200)


def test_payment_for_another_product_is_not_booked(shop: SiteWithFakeStripe) -> None:
    _, ref = add_member(shop.app)
    customer = shop.stripe.customer(ref)
    charge = shop.stripe.put("charge", "ch_book", customer=customer["id"], payment_intent="pi_book", amount=900)
    charge["refunds"] = {"data": []}
    refund = shop.stripe.refund(charge, 900)
    assert shop.deliver(make_event("refund.created", refund)).status == "ignored"
    loose = shop.stripe.put("invoice", "in_loose", customer=customer["id"], status="paid", parent=None)
    assert shop.deliver(make_event("invoice.paid", loose)).status == "ignored"
    assert _booked(shop) == []


def test_invoice_of_a_trial_books_nothing(shop: SiteWithFakeStripe) -> None:
    _, subscription = shop.subscriber(status="trialing")
    shop.deliver(make_event("invoice.paid", shop.stripe.invoice(subscription, status="paid")))
    assert _booked(shop) == []


def test_ledger_pages_by_id_currency_and_member(shop: SiteWithFakeStripe) -> None:
    for amount in (100, 200, 300):
        shop.deliver(make_event("invoice.paid", _paid(shop, amount)))
    shop.deliver(make_event("invoice.paid", _paid(shop, 800, "price_jpy")))
    with shop.app.app_context():
        newest = billing.list_ledger_entries(place=Place(size=2))
        assert [one.amount for one in newest] == [800, 300]
        assert [one.amount for one in billing.list_ledger_entries(place=Place(before=newest[-1].id))] == [200, 100]
        assert [one.amount for one in billing.list_ledger_entries(currency="jpy")] == [800]
        assert [one.amount for one in billing.list_ledger_entries(user_ref=newest[1].user_ref)] == [300]
