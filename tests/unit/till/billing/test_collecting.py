"""Payments that are retried after a declined card."""

from __future__ import annotations

from church.till.billing.periods import DAY


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
