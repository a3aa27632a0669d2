"""Subscription schedules: one price now, another later."""

from __future__ import annotations

import pytest

from tests.support.till_calls import item
from tests.support.till_fixture import FRIEND, PATRON


def test_schedule_downgrades_at_the_renewal(till):
    subscription = till.subscribe(PATRON)
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    assert till.subscription(subscription["id"])["schedule"] == schedule.id
    first = schedule.phases[0]
    phases = [
        {"items": [{"price": PATRON, "quantity": 1}], "start_date": first.start_date, "end_date": first.end_date},
        {"items": [{"price": FRIEND, "quantity": 1}], "duration": {"interval": "month", "interval_count": 1}},
    ]
    updated = till.stripe.v1.subscription_schedules.update(schedule.id, {"phases": phases, "end_behavior": "release"})
    assert [phase["items"][0]["price"] for phase in updated.phases] == [PATRON, FRIEND]
    assert item(till.subscription(subscription["id"]))["price"]["id"] == PATRON
    till.operate("clock", to="renewal")
    assert item(till.subscription(subscription["id"]))["price"]["id"] == FRIEND
    assert till.latest_invoice(subscription["id"])["total"] == 500
    till.operate("clock", to="renewal")
    done = till.stripe.v1.subscription_schedules.retrieve(schedule.id)
    assert (done.status, done.released_subscription, done.subscription) == ("released", subscription["id"], None)
    found = till.subscription(subscription["id"])
    assert (found["schedule"], found["status"], till.latest_invoice(found["id"])["total"]) == (None, "active", 500)


def test_schedule_to_another_interval_bills_once(till):
    subscription = till.subscribe("price_friend_year")
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    first = schedule.phases[0]
    phases = [
        {"items": [{"price": "price_friend_year"}], "start_date": first.start_date, "end_date": first.end_date},
        {"items": [{"price": FRIEND}]},
    ]
    till.stripe.v1.subscription_schedules.update(schedule.id, {"phases": phases})
    till.operate("clock", to="renewal")
    invoices = till.stripe.v1.invoices.list({"subscription": subscription["id"]}).data
    assert [one.total for one in invoices] == [500, 5000]


def test_schedule_phase_within_a_period_prorates(till):
    subscription = till.subscribe()
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    first = schedule.phases[0]
    middle = (first.start_date + first.end_date) // 2
    phases = [
        {"items": [{"price": FRIEND}], "start_date": first.start_date, "end_date": middle},
        {"items": [{"price": PATRON}], "end_date": first.end_date, "proration_behavior": "always_invoice"},
    ]
    till.stripe.v1.subscription_schedules.update(schedule.id, {"phases": phases})
    till.operate("clock", days="20")
    invoice = till.latest_invoice(subscription["id"])
    assert invoice["created"] == middle
    assert [line["amount"] for line in invoice["lines"]["data"]] == [-250, 600]


def lasting_discount(till):
    """Create a subscription with a discount on every payment."""
    with till.desk.store.transaction():
        coupon = till.desk.make("coupon", duration="forever", percent_off=50.0)
        coupon["id"] = "half"
        till.desk.add(coupon)
    return till.subscribe(PATRON, discounts=[{"coupon": "half"}])


@pytest.mark.parametrize(("kept", "total"), [(True, 250), (False, 500)])
def test_schedule_phase_has_only_its_own_discounts(till, kept, total):
    subscription = lasting_discount(till)
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    first = schedule.to_dict()["phases"][0]
    assert [one["discount"] for one in first["discounts"]] == subscription["discounts"]
    named = {"discounts": [{"discount": one["discount"]} for one in first["discounts"]]} if kept else {}
    phases = [
        {"items": [{"price": PATRON}], "start_date": first["start_date"], "end_date": first["end_date"], **named},
        {"items": [{"price": FRIEND}], **named},
    ]
    till.stripe.v1.subscription_schedules.update(schedule.id, {"phases": phases})
    till.operate("clock", to="renewal")
    assert till.latest_invoice(subscription["id"])["total"] == total


def test_schedule_end_can_cancel_the_subscription(till):
    subscription = till.subscribe()
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    till.stripe.v1.subscription_schedules.update(schedule.id, {"end_behavior": "cancel"})
    till.operate("clock", to="renewal")
    assert till.subscription(subscription["id"])["status"] == "canceled"
    assert till.stripe.v1.subscription_schedules.retrieve(schedule.id).status == "completed"
