"""Counts and sums of a scrape: zeros for what is for sale, and sums that never fall."""

from __future__ import annotations

from decimal import Decimal

from flask import Flask

from church.models import Price, Product, User
from church.models.base import utc_now
from church.models.billing import OPEN_STATUSES
from church.services.billing.scrape_counts import (
    MOST_PLANS,
    count_subscriptions_by_status,
    sum_by_currency,
    sum_payments_by_currency,
    sum_refunds_by_currency,
)
from tests.support.billing_rows import add_customer, add_entry, add_subscription, store


def add_plan(plan: str) -> None:
    fields = {"name": plan, "description": "", "features": [], "active": True, "fetched_at": utc_now()}
    store(Product(stripe_id=f"prod_{plan}", plan=plan, **fields))


def add_price(currency: str) -> None:
    now = utc_now()
    fields = {"interval": "month", "interval_count": 1, "trial_days": 0, "tax_behavior": "unspecified", "active": True}
    ids = {"stripe_id": f"price_{currency}", "stripe_product": "prod_1"}
    store(Price(**ids, amount=500, currency=currency, created_at=now, fetched_at=now, **fields))


def test_subscriptions_of_a_plan_start_at_zero_in_each_open_status(ada: User) -> None:
    """A series that begins at 1 would hide its first increase from a rate."""
    add_plan("patron")
    assert dict(count_subscriptions_by_status()) == {("patron", status): 0 for status in OPEN_STATUSES}
    customer = add_customer(ada.id)
    for status in ("active", "active", "past_due", "canceled"):
        add_subscription(customer, status=status)
    counts = dict(count_subscriptions_by_status())
    assert (counts["patron", "active"], counts["patron", "past_due"], counts["patron", "trialing"]) == (2, 1, 0)
    assert ("patron", "canceled") not in counts


def test_subscriptions_of_unknown_plans_and_statuses_are_counted_as_other(ada: User) -> None:
    """Neither Stripe's new words nor old plans add labels."""
    add_plan("patron")
    customer = add_customer(ada.id)
    add_subscription(customer, status="dormant")
    add_subscription(customer, plan="former")
    add_subscription(customer, plan="forgotten")
    counts = dict(count_subscriptions_by_status())
    assert (counts["patron", "other"], counts["other", "active"]) == (1, 2)


def test_plans_after_the_most_are_counted_as_other(ada: User) -> None:
    """The number of series is bounded."""
    for number in range(MOST_PLANS + 1):
        add_plan(f"plan{number:02}")
    add_subscription(add_customer(ada.id), plan=f"plan{MOST_PLANS:02}")
    counts = dict(count_subscriptions_by_status())
    assert counts["other", "active"] == 1
    assert len({plan for plan, _ in counts}) == MOST_PLANS + 1


def test_sums_start_at_zero_in_each_priced_currency(ada: User) -> None:
    """Each is in major units of its currency."""
    for currency in ("usd", "jpy", "kwd"):
        add_price(currency)
    assert dict(sum_payments_by_currency()) == dict.fromkeys(("usd", "jpy", "kwd"), Decimal(0))
    add_entry(ada.id, 1250)
    add_entry(ada.id, 801, currency="jpy")
    add_entry(ada.id, -250, "refund")
    add_entry(ada.id, 700, currency="eur")
    assert dict(sum_payments_by_currency()) == {
        "usd": Decimal("12.50"), "jpy": Decimal(801), "kwd": Decimal(0), "eur": Decimal("7.00"),
    }  # fmt: skip
    assert dict(sum_refunds_by_currency()) == {
        "usd": Decimal("2.50"), "jpy": Decimal(0), "kwd": Decimal(0), "eur": Decimal(0),
    }  # fmt: skip


def test_sum_of_refunds_keeps_failed_ones_and_leaves_disputes_out(ada: User) -> None:
    """A counter cannot fall, so what is taken back stays in it."""
    add_entry(ada.id, 1000)
    add_entry(ada.id, -400, "refund")
    before = sum_by_currency()
    add_entry(ada.id, 400, "refund_failed")
    add_entry(ada.id, -1000, "dispute")
    assert sum_by_currency() == before == [("usd", Decimal("10.00"), Decimal("4.00"))]


def test_sums_include_an_entry_whose_lower_id_appears_later(at_work: Flask, ada: User) -> None:
    """Of two parallel transactions, the one with the lower id may end last."""
    assert sum_by_currency() == []
    add_entry(ada.id, 100, id=1)
    add_entry(ada.id, 300, id=3)
    assert sum_by_currency() == [("usd", Decimal(4), Decimal(0))]
    add_entry(ada.id, 200, id=2)
    assert sum_by_currency() == [("usd", Decimal(6), Decimal(0))]
    add_entry(ada.id, 400, id=4)
    assert sum_by_currency() == [("usd", Decimal(10), Decimal(0))]
