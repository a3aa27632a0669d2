"""Renewals, trials, retries and cancellations as the clock moves."""

from __future__ import annotations

import pytest
import stripe

from church.till.billing.cycle import process_due
from church.till.billing.periods import DAY
from tests.support.till_fixture import FRIEND, PATRON


def period(subscription):
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def events_since(till, since):
    return till.events()[since:]


def test_renewal_charges_again_and_moves_the_period(till):
    before = till.subscribe()
    since = len(till.events())
    state = till.operate("clock", to="renewal")
    after = till.subscription(before["id"])
    assert period(after)[0] == period(before)[1] <= state["now"]
    assert (after["status"], period(after)[1] - period(after)[0] >= 28 * DAY) == ("active", True)
    invoice = till.latest_invoice(before["id"])
    assert (invoice["billing_reason"], invoice["amount_paid"]) == ("subscription_cycle", 500)
    assert invoice["number"].endswith("-0002")
    assert invoice["created"] == period(after)[0]
    assert events_since(till, since) == [
        "customer.subscription.updated",
        "invoice.created",
        "invoice.finalized",
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice_payment.paid",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
    ]


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


def test_renewal_declined_is_retried_until_the_subscription_ends(till):
    subscription = till.subscribe(card="fails_later")
    till.operate("clock", to="renewal")
    found, invoice = till.subscription(subscription["id"]), till.latest_invoice(subscription["id"])
    assert (found["status"], invoice["status"], invoice["attempt_count"]) == ("past_due", "open", 1)
    assert invoice["next_payment_attempt"] - invoice["created"] == 3 * DAY
    assert till.charge(invoice)["failure_code"] == "card_declined"
    till.operate("clock", days="4")
    assert till.latest_invoice(subscription["id"])["attempt_count"] == 2
    till.operate("clock", days="12")
    ended = till.subscription(subscription["id"])
    assert (ended["status"], ended["cancellation_details"]["reason"]) == ("canceled", "payment_failed")
    assert till.latest_invoice(subscription["id"])["next_payment_attempt"] is None
    assert till.events().count("invoice.payment_failed") == 4
    assert till.events()[-1] == "customer.subscription.deleted"


def test_retry_paid_makes_the_subscription_active(till):
    subscription = till.subscribe()
    till.operate("knobs", decline="on")
    till.operate("clock", to="renewal")
    assert till.subscription(subscription["id"])["status"] == "past_due"
    till.operate("knobs", decline="")
    till.operate("clock", days="3")
    assert till.subscription(subscription["id"])["status"] == "active"
    assert till.events()[-4:] == [
        "invoice_payment.paid",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
    ]


def test_renewal_with_3d_secure_is_paid_on_the_invoice_page(till):
    subscription = till.subscribe(card="always_secure")
    till.operate("clock", to="renewal")
    assert {"payment_intent.requires_action", "invoice.payment_action_required"} <= set(till.events())
    path = "/invoice/" + till.latest_invoice(subscription["id"])["id"]
    assert "Pay USD 5.00" in till.get(path)[2]
    assert till.post(path, do="pay")[0] == 303
    assert till.subscription(subscription["id"])["status"] == "active"
    assert till.post(path, do="pay")[0] == 409


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


@pytest.mark.parametrize(
    ("behaviour", "status"), [("pause", "paused"), ("cancel", "canceled"), ("create_invoice", "past_due")]
)
def test_trial_without_card_ends_as_its_settings_say(till, behaviour, status):
    data = {"trial_period_days": 5, "trial_settings": {"end_behavior": {"missing_payment_method": behaviour}}}
    subscription = till.subscribe(card="none", payment_method_collection="if_required", subscription_data=data)
    till.operate("clock", days="6")
    assert till.subscription(subscription["id"])["status"] == status


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


@pytest.mark.parametrize("fields", [{"days": "-1"}, {"days": "801"}, {"days": "x"}, {"to": "renewal"}])
def test_clock_invalid_move_is_refused(till, fields):
    assert till.post("/operator/clock", **fields)[0] == 400
    assert till.operate("knobs")["ahead"] == 0


def test_catch_up_processes_time_that_passed(till, monkeypatch):
    subscription = till.subscribe(FRIEND)
    with till.desk.store.transaction():
        assert process_due(till.desk) == 0
        assert process_due(till.desk, period(subscription)[1]) == 1
    assert till.latest_invoice(subscription["id"])["billing_reason"] == "subscription_cycle"
