"""Changes of plan within a period: prorations, previews, and declined cards."""

from __future__ import annotations

import pytest
import stripe

from church.till.billing.periods import DAY
from tests.support.till_calls import item, to
from tests.support.till_fixture import FRIEND, PATRON


def half_way(till, subscription):
    start, end = item(subscription)["current_period_start"], item(subscription)["current_period_end"]
    till.operate("clock", hours=str((end - start) // 3600 // 2))
    return (end - till.operate("knobs")["now"]) / (end - start)


def test_upgrade_now_charges_the_proration_and_keeps_the_period(till):
    subscription = till.subscribe()
    left = half_way(till, subscription)
    changed = till.stripe.v1.subscriptions.update(
        subscription["id"], to(subscription, PATRON, proration_behavior="always_invoice")
    ).to_dict()
    assert item(changed)["price"]["id"] == item(changed)["plan"]["id"] == PATRON
    assert item(changed)["current_period_end"] == item(subscription)["current_period_end"]
    invoice = till.latest_invoice(subscription["id"])
    assert [line["amount"] for line in invoice["lines"]["data"]] == pytest.approx([-500 * left, 1200 * left], abs=1)
    assert all(line["parent"]["subscription_item_details"]["proration"] for line in invoice["lines"]["data"])
    assert (invoice["status"], invoice["billing_reason"]) == ("paid", "subscription_update")
    till.operate("clock", to="renewal")
    assert till.latest_invoice(subscription["id"])["total"] == 1200


def test_preview_equals_the_charge_of_the_change(till):
    subscription = till.subscribe()
    half_way(till, subscription)
    at = till.operate("knobs")["now"]
    details = to(subscription, PATRON, proration_behavior="always_invoice", proration_date=at)
    preview = till.stripe.v1.invoices.create_preview(
        {"customer": subscription["customer"], "subscription": subscription["id"], "subscription_details": details}
    )
    assert till.subscription(subscription["id"]) == subscription
    till.stripe.v1.subscriptions.update(subscription["id"], details)
    assert till.latest_invoice(subscription["id"])["amount_paid"] == preview.amount_due > 300


def test_proration_not_invoiced_is_added_to_the_renewal(till):
    subscription = till.subscribe()
    half_way(till, subscription)
    till.stripe.v1.subscriptions.update(subscription["id"], to(subscription, PATRON))
    assert till.latest_invoice(subscription["id"])["id"] == subscription["latest_invoice"]
    preview = till.stripe.v1.invoices.create_preview({"subscription": subscription["id"]})
    till.operate("clock", to="renewal")
    invoice = till.latest_invoice(subscription["id"])
    assert len(invoice["lines"]["data"]) == 3
    assert invoice["total"] == preview.total > 1200


def test_change_without_proration_costs_nothing_now(till):
    subscription = till.subscribe()
    till.stripe.v1.subscriptions.update(subscription["id"], to(subscription, PATRON, proration_behavior="none"))
    till.operate("clock", to="renewal")
    invoice = till.latest_invoice(subscription["id"])
    assert (len(invoice["lines"]["data"]), invoice["total"]) == (1, 1200)


def test_downgrade_now_credits_the_next_invoice(till):
    subscription = till.subscribe(PATRON)
    half_way(till, subscription)
    till.stripe.v1.subscriptions.update(
        subscription["id"], to(subscription, FRIEND, proration_behavior="always_invoice")
    )
    invoice = till.latest_invoice(subscription["id"])
    credit = till.stripe.v1.customers.retrieve(subscription["customer"]).balance
    assert (invoice["amount_due"], invoice["status"], invoice["total"]) == (0, "paid", credit)
    assert credit < -300
    till.operate("clock", to="renewal")
    assert till.latest_invoice(subscription["id"])["amount_due"] == 500 + credit
    assert till.stripe.v1.customers.retrieve(subscription["customer"]).balance == 0


def test_change_of_interval_starts_a_new_period(till):
    subscription = till.subscribe()
    half_way(till, subscription)
    changed = till.stripe.v1.subscriptions.update(subscription["id"], to(subscription, "price_friend_year")).to_dict()
    assert item(changed)["current_period_end"] - item(changed)["current_period_start"] >= 365 * DAY
    assert changed["billing_cycle_anchor"] == item(changed)["current_period_start"]
    assert till.latest_invoice(subscription["id"])["total"] == pytest.approx(5000 - 250, abs=2)


def test_change_in_a_trial_is_free_until_the_trial_ends(till):
    subscription = till.subscribe(subscription_data={"trial_period_days": 14})
    changed = till.stripe.v1.subscriptions.update(
        subscription["id"], to(subscription, PATRON, proration_behavior="always_invoice")
    )
    assert (changed.status, changed.latest_invoice) == ("trialing", subscription["latest_invoice"])
    ended = till.stripe.v1.subscriptions.update(subscription["id"], {"trial_end": "now"})
    assert ended.status == "active"
    assert till.latest_invoice(subscription["id"])["amount_paid"] == 1200


def test_upgrade_declined_is_past_due_or_undone(till):
    subscription = till.subscribe(card="fails_later")
    now = to(subscription, PATRON, proration_behavior="always_invoice")
    with pytest.raises(stripe.CardError) as caught:
        till.stripe.v1.subscriptions.update(subscription["id"], {**now, "payment_behavior": "error_if_incomplete"})
    assert (caught.value.http_status, caught.value.code) == (402, "card_declined")
    assert till.subscription(subscription["id"]) == subscription
    changed = till.stripe.v1.subscriptions.update(subscription["id"], now)
    assert changed.status == "past_due"
