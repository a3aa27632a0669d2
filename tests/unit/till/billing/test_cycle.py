"""What becomes due as the clock moves, each at its own time."""

from __future__ import annotations

from church.till.billing.cycle import process_due
from tests.support.till_calls import period
from tests.support.till_fixture import FRIEND, PATRON


def test_clock_moved_a_year_renews_each_period_on_its_day(till):
    subscription = till.subscribe()
    till.operate("clock", days="370")
    invoices = till.stripe.v1.invoices.list({"subscription": subscription["id"], "limit": 100}).data
    assert len(invoices) == 13
    assert len({one.created for one in invoices}) == 13
    assert sum(one.amount_paid for one in invoices) == 13 * 500


def test_trial_end_is_announced_then_charged(till):
    subscription = till.subscribe(PATRON, subscription_data={"trial_period_days": 14})
    till.operate("clock", days="10")
    assert "customer.subscription.trial_will_end" not in till.events()
    till.operate("clock", days="2")
    assert till.events().count("customer.subscription.trial_will_end") == 1
    till.operate("clock", days="3")
    assert till.subscription(subscription["id"])["status"] == "active"
    assert till.latest_invoice(subscription["id"])["amount_paid"] == 1200
    assert till.events().count("customer.subscription.trial_will_end") == 1


def test_catch_up_processes_time_that_passed(till, monkeypatch):
    subscription = till.subscribe(FRIEND)
    with till.desk.store.transaction():
        assert process_due(till.desk) == 0
        assert process_due(till.desk, period(subscription)[1]) == 1
    assert till.latest_invoice(subscription["id"])["billing_reason"] == "subscription_cycle"
