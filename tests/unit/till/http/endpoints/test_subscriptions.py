"""Endpoints of subscriptions: what they refuse, what an ended one may change, and a resumption."""

from __future__ import annotations

import pytest
import stripe

from tests.support.till_calls import to
from tests.support.till_fixture import PATRON


@pytest.mark.parametrize(
    "params",
    [
        {"items": [{"id": "si_none", "price": PATRON}]},
        {"items": [{"price": "price_friend_month"}]},
        {"items": [{"price": "price_patron_year"}]},
        {"cancel_at": 1},
        {"default_payment_method": "pm_none"},
        {"payment_behavior": "pending_if_incomplete", "metadata": {"a": "b"}, "items": []},
    ],
)
def test_update_invalid_parameter_is_refused(till, params):
    subscription = till.subscribe()
    if params.get("items") == []:
        params = {**params, **to(subscription, PATRON)}
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.subscriptions.update(subscription["id"], params)
    assert till.subscription(subscription["id"]) == subscription


def test_subscription_cancelled_can_only_change_metadata(till):
    subscription = till.subscribe()
    details = {"comment": "moved away", "feedback": "other"}
    ended = till.stripe.v1.subscriptions.cancel(subscription["id"], {"cancellation_details": details})
    assert (ended.status, ended.cancellation_details.comment) == ("canceled", "moved away")
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.subscriptions.cancel(subscription["id"])
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.subscriptions.update(subscription["id"], {"cancel_at_period_end": True})
    till.stripe.v1.subscriptions.update(subscription["id"], {"metadata": {"a": "b"}})
    statuses = {status: len(till.stripe.v1.subscriptions.list({"status": status}).data) for status in ("all", "ended")}
    assert (statuses, till.stripe.v1.subscriptions.list().data) == ({"all": 1, "ended": 1}, [])
    assert till.operate("clock", days="60")["next_renewal"] is None


def test_paused_subscription_resumes_with_a_card(till):
    behaviour = {"trial_period_days": 5, "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}}}
    paused = till.subscribe(card="none", payment_method_collection="if_required", subscription_data=behaviour)
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.subscriptions.resume(paused["id"])
    till.operate("clock", days="6")
    assert till.operate("clock", days="100")["next_renewal"] is None
    portal = till.stripe.v1.billing_portal.sessions.create({"customer": paused["customer"]})
    till.post(f"/portal/{portal.id}", do="card", card="good")
    resumed = till.stripe.v1.subscriptions.resume(paused["id"])
    assert resumed.status == "active"
    assert till.latest_invoice(paused["id"])["amount_paid"] == 500
    assert {"customer.subscription.paused", "customer.subscription.resumed"} <= set(till.events())
