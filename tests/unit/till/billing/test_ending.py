"""Subscriptions that end, now or at the end of a period."""

from __future__ import annotations

import pytest

from tests.support.till_calls import period


@pytest.mark.parametrize("how", ["flag", "time"])
def test_cancellation_at_period_end_ends_the_subscription(till, how):
    subscription = till.subscribe()
    end = period(subscription)[1]
    params = {"cancel_at_period_end": True} if how == "flag" else {"cancel_at": end}
    ending = till.stripe.v1.subscriptions.update(subscription["id"], params).to_dict()
    assert (ending["cancel_at"], ending["cancel_at_period_end"], ending["status"]) == (end, how == "flag", "active")
    till.operate("clock", to="renewal")
    ended = till.subscription(subscription["id"])
    assert (ended["status"], ended["ended_at"]) == ("canceled", end)
    assert len(till.stripe.v1.invoices.list({"subscription": subscription["id"]}).data) == 1


@pytest.mark.parametrize("params", [{"cancel_at_period_end": False}, {"cancel_at": ""}])
def test_cancellation_undone_renews(till, params):
    subscription = till.subscribe()
    till.stripe.v1.subscriptions.update(subscription["id"], {"cancel_at_period_end": True})
    kept = till.stripe.v1.subscriptions.update(subscription["id"], params)
    assert (kept.cancel_at, kept.cancel_at_period_end, kept.canceled_at) == (None, False, None)
    till.operate("clock", to="renewal")
    assert till.subscription(subscription["id"])["status"] == "active"
