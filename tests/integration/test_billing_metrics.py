"""Metrics equal the ledger and the subscriptions, in three currencies, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func, select, text

from church.config import Settings
from church.extensions import db
from church.models import LedgerEntry
from church.models.billing import EntryKind
from church.observability.metrics import worker_files
from church.services import money
from tests.support.stripe_fixture import Obj, SiteWithFakeStripe, add_member, make_event

pytestmark = pytest.mark.services
DECIMALS = {"usd": 2, "jpy": 0, "kwd": 3}
Series = dict[tuple[str, ...], float]


@pytest.fixture
def shop(migrated_site: Settings) -> Iterator[SiteWithFakeStripe]:
    shop = SiteWithFakeStripe(migrated_site)
    shop.stripe.price("price_jpy", "prod_patron", 800, "jpy")
    shop.stripe.price("price_kwd", "prod_patron", 2500, "kwd")
    yield shop
    _forget_scrape()
    shop.close()


def _forget_scrape() -> None:
    """Remove the cached values, which all sites of this process share for some seconds."""
    assert worker_files.SLOTS.directory is not None
    (worker_files.SLOTS.directory / "state.json").unlink(missing_ok=True)


def _scraped(shop: SiteWithFakeStripe, name: str, *labels: str) -> Series | None:
    """Scrape a metric without the cache, by its labels; None where it is absent."""
    _forget_scrape()
    families = text_string_to_metric_families(shop.app.test_client().get("/metrics").text)
    found = {sample.name: family for family in families for sample in family.samples}.get(name)
    if found is None:
        return None
    return {tuple(one.labels[label] for label in labels): one.value for one in found.samples if one.name == name}


def _booked(shop: SiteWithFakeStripe, kind: EntryKind) -> Series:
    """Sum the ledger's entries of a kind in the database, in major units."""
    query = select(LedgerEntry.currency, func.sum(func.abs(LedgerEntry.amount))).where(LedgerEntry.kind == kind.value)
    with shop.app.app_context(), db.read() as session:
        rows = session.execute(query.group_by(LedgerEntry.currency)).all()
    return {(currency,): float(Decimal(int(minor)) / 10 ** DECIMALS[currency]) for currency, minor in rows}


def _paid(shop: SiteWithFakeStripe, price: str, amount: int) -> Obj:
    _, ref = add_member(shop.app)
    invoice = shop.stripe.invoice(shop.stripe.subscription(shop.stripe.customer(ref), price), paid=amount)
    shop.deliver(make_event("invoice.paid", invoice))
    return invoice


def _trade(shop: SiteWithFakeStripe) -> None:
    """Make payments in three currencies, refunds in two, one refund that fails later, and one dispute."""
    amounts = {"price_month": (1200, 999, 1), "price_jpy": (800, 801), "price_kwd": (2500, 3125)}
    invoices = {price: [_paid(shop, price, amount) for amount in values] for price, values in amounts.items()}
    first = {price: made[0] for price, made in invoices.items()}
    for price, currency, back in (("price_month", "usd", 333), ("price_kwd", "kwd", 1251)):
        refund = shop.stripe.refund(shop.stripe.charge_of(first[price]), back, currency)
        shop.deliver(make_event("refund.created", refund))
    failing = shop.stripe.refund(shop.stripe.charge_of(first["price_month"]), 5)
    shop.deliver(make_event("refund.created", failing))
    failing["status"] = "failed"
    shop.deliver(make_event("refund.failed", failing))
    shop.deliver(
        make_event("charge.dispute.created", shop.stripe.dispute(shop.stripe.charge_of(first["price_month"]), -1200))
    )


def test_value_metrics_equal_the_ledger_in_dollars_yen_and_dinars(shop: SiteWithFakeStripe) -> None:
    _trade(shop)
    payments, refunds = _booked(shop, EntryKind.PAYMENT), _booked(shop, EntryKind.REFUND)
    assert payments == {("usd",): 22.00, ("jpy",): 1601, ("kwd",): 5.625}
    assert refunds == {("usd",): 3.38, ("kwd",): 1.251}
    assert _scraped(shop, "stripe_payment_value_total", "currency") == payments
    assert _scraped(shop, "stripe_refund_value_total", "currency") == refunds | {("jpy",): 0}
    assert {code: money.decimals_of(code) for code in DECIMALS} == DECIMALS


def test_value_metrics_are_unchanged_by_redeliveries_and_another_host(shop: SiteWithFakeStripe) -> None:
    _trade(shop)
    before = _scraped(shop, "stripe_payment_value_total", "currency")
    again = SiteWithFakeStripe(shop.settings)
    again.stripe.objects = shop.stripe.objects
    try:
        for invoice in [one for one in shop.stripe.objects.values() if one["object"] == "invoice"]:
            again.deliver(make_event("invoice.paid", invoice))
        assert _scraped(again, "stripe_payment_value_total", "currency") == before
    finally:
        again.close()


def test_value_metrics_start_at_zero_in_every_priced_currency(shop: SiteWithFakeStripe) -> None:
    assert _scraped(shop, "stripe_payment_value_total", "currency") is None
    for price in ("price_month", "price_jpy"):
        shop.deliver(make_event("price.created", shop.stripe.objects[price]))
    zeros = {("usd",): 0.0, ("jpy",): 0.0}
    assert _scraped(shop, "stripe_payment_value_total", "currency") == zeros
    assert _scraped(shop, "stripe_refund_value_total", "currency") == zeros


def test_subscription_metrics_by_plan_and_status_start_at_zero(shop: SiteWithFakeStripe) -> None:
    shop.deliver(make_event("product.created", shop.stripe.objects["prod_patron"]))
    shop.deliver(make_event("product.created", shop.stripe.product("prod_friend", church_plan="friend")))
    for status in ("active", "active", "past_due", "canceled"):
        _, subscription = shop.subscriber(status=status)
        shop.deliver(make_event("customer.subscription.updated", subscription))
    found = _scraped(shop, "stripe_subscriptions_active", "plan", "status")
    assert found is not None
    assert {labels: value for labels, value in found.items() if value} == {
        ("patron", "active"): 2,
        ("patron", "past_due"): 1,
    }
    statuses = {"trialing", "active", "past_due", "unpaid", "incomplete", "paused"}
    assert set(found) == {(plan, status) for plan in ("friend", "patron") for status in statuses}


def test_subscription_metrics_unknown_plan_and_status_are_other(shop: SiteWithFakeStripe) -> None:
    shop.deliver(make_event("product.created", shop.stripe.objects["prod_patron"]))
    for status in ("active", "trialing"):
        shop.deliver(make_event("customer.subscription.updated", shop.subscriber(status=status)[1]))
    with shop.app.app_context(), db.write() as session:
        session.execute(text("UPDATE subscriptions SET plan = 'of yesterday' WHERE status = 'active'"))
        session.execute(text("UPDATE subscriptions SET status = 'of_tomorrow' WHERE status = 'trialing'"))
    found = _scraped(shop, "stripe_subscriptions_active", "plan", "status")
    assert found is not None
    assert {labels for labels, value in found.items() if value} == {("other", "active"), ("patron", "other")}
