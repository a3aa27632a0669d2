"""The customer portal: cancel, resume and replace the card."""

from __future__ import annotations

from tests.support.till_calls import open_portal
from tests.support.till_fixture import PATRON


def test_portal_cancels_resumes_and_cancels_now(till):
    subscription = till.subscribe()
    path = open_portal(till, subscription, return_url="http://127.0.0.1:8000/auth/account")
    assert "http://127.0.0.1:8000/auth/account" in till.get(path)[2]
    till.post(path, do="cancel", subscription=subscription["id"])
    ending = till.subscription(subscription["id"])
    assert ending["cancel_at"] == subscription["items"]["data"][0]["current_period_end"]
    assert ending["cancel_at_period_end"] is False
    till.post(path, do="resume", subscription=subscription["id"])
    assert till.subscription(subscription["id"])["cancel_at"] is None
    till.post(path, do="cancel_now", subscription=subscription["id"])
    assert till.subscription(subscription["id"])["status"] == "canceled"
    assert till.post(path, do="resume", subscription=subscription["id"])[0] == 400


def test_portal_of_another_customer_is_refused(till):
    mine, other = till.subscribe(), till.subscribe()
    assert till.post(open_portal(till, mine), do="cancel_now", subscription=other["id"])[0] == 400
    assert till.subscription(other["id"])["status"] == "active"


def test_portal_cancel_releases_the_schedule(till):
    subscription = till.subscribe(PATRON)
    schedule = till.stripe.v1.subscription_schedules.create({"from_subscription": subscription["id"]})
    till.post(open_portal(till, subscription), do="cancel", subscription=subscription["id"])
    assert till.stripe.v1.subscription_schedules.retrieve(schedule.id).status == "released"
    assert till.subscription(subscription["id"])["cancel_at"] is not None


def test_portal_new_card_pays_the_declined_invoice(till):
    subscription = till.subscribe(card="fails_later")
    till.operate("clock", to="renewal")
    path = "/invoice/" + till.latest_invoice(subscription["id"])["id"]
    till.operate("knobs", decline="on")
    assert till.post(path, do="pay")[0] == 402
    till.operate("knobs", decline="")
    assert till.post(open_portal(till, subscription), do="card", card="unknown")[0] == 400
    assert till.post(open_portal(till, subscription), do="card", card="good")[0] == 303
    assert "with •••• 4242" in till.get(path)[2]
    assert till.post(path, do="pay")[0] == 303
    assert till.subscription(subscription["id"])["status"] == "active"
    till.operate("clock", to="renewal")
    assert till.subscription(subscription["id"])["status"] == "active"
