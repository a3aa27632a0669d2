"""Renewals, and trials that end without a card."""

from __future__ import annotations

import pytest

from church.till.billing.periods import DAY
from tests.support.till_calls import period


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


@pytest.mark.parametrize(
    ("behaviour", "status"), [("pause", "paused"), ("cancel", "canceled"), ("create_invoice", "past_due")]
)
def test_trial_without_card_ends_as_its_settings_say(till, behaviour, status):
    data = {"trial_period_days": 5, "trial_settings": {"end_behavior": {"missing_payment_method": behaviour}}}
    subscription = till.subscribe(card="none", payment_method_collection="if_required", subscription_data=data)
    till.operate("clock", days="6")
    assert till.subscription(subscription["id"])["status"] == status
