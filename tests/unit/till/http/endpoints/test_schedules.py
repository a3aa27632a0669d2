"""Endpoints of schedules: what they refuse, and a release."""

from __future__ import annotations

import pytest
import stripe

from tests.support.till_fixture import FRIEND, PATRON


def test_schedule_released_changes_nothing(till):
    subscription = till.subscribe(PATRON)
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    with pytest.raises(stripe.InvalidRequestError, match="managed by the subscription schedule"):
        till.stripe.v1.subscriptions.update(subscription["id"], {"cancel_at_period_end": True})
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    assert till.stripe.v1.subscription_schedules.release(schedule.id).status == "released"
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.subscription_schedules.release(schedule.id)
    assert till.subscription(subscription["id"])["schedule"] is None
    assert till.stripe.v1.subscription_schedules.list({"customer": subscription["customer"]}).data[0].id == schedule.id


@pytest.mark.parametrize(
    "phases",
    [
        [{"items": [{"price": FRIEND}, {"price": "price_patron_year"}]}],
        [{"items": [{"price": FRIEND}, {"price": FRIEND}]}],
        [{"items": [{"price": FRIEND}], "end_date": 1}],
        [{"items": [{"price": FRIEND}], "start_date": 10, "end_date": 20}],
        [{"items": [{"price": "price_none"}]}],
    ],
)
def test_schedule_invalid_phases_are_refused(till, phases):
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": till.subscribe()["id"]})
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.subscription_schedules.update(schedule.id, {"phases": phases})
