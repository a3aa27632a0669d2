"""Refunds, disputes, and invoices that are voided or uncollectible."""

from __future__ import annotations

import pytest
import stripe


@pytest.fixture
def charge(till):
    return till.charge(till.latest_invoice(till.subscribe()["id"]))


def again(till, charge):
    return till.stripe.v1.charges.retrieve(charge["id"])


def test_refund_in_parts_then_the_rest(till, charge):
    till.stripe.v1.refunds.create({"charge": charge["id"], "amount": 200, "reason": "requested_by_customer"})
    assert (again(till, charge).amount_refunded, again(till, charge).refunded) == (200, False)
    rest = till.stripe.v1.refunds.create({"payment_intent": charge["payment_intent"], "metadata": {"why": "kind"}})
    assert (rest.amount, rest.metadata["why"], rest.status) == (300, "kind", "succeeded")
    assert again(till, charge).refunded
    with pytest.raises(stripe.InvalidRequestError) as caught:
        till.stripe.v1.refunds.create({"charge": charge["id"]})
    assert caught.value.code == "charge_already_refunded"
    assert [one.amount for one in till.stripe.v1.refunds.list({"charge": charge["id"]}).data] == [300, 200]
    assert till.events()[-2:] == ["refund.created", "charge.refunded"]


@pytest.mark.parametrize("params", [{"amount": 501}, {"amount": 0}, {"amount": -1}, {"reason": "mood"}])
def test_refund_invalid_amount_or_reason_is_refused(till, charge, params):
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.refunds.create({"charge": charge["id"], **params})
    assert again(till, charge).amount_refunded == 0


def test_refund_of_a_failed_charge_is_refused(till):
    subscription = till.subscribe(card="fails_later")
    till.operate("clock", to="renewal")
    failed = till.charge(till.latest_invoice(subscription["id"]))
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.refunds.create({"charge": failed["id"]})


def test_refund_failed_returns_the_money(till, charge):
    till.operate("refund", charge=charge["id"], amount="200")
    refund = till.stripe.v1.refunds.list().data[0].id
    till.operate("refund/fail", refund=refund)
    assert again(till, charge).amount_refunded == 0
    failed = till.stripe.v1.refunds.retrieve(refund)
    assert (failed.status, failed.amount) == ("failed", 200)
    assert "refund.failed" in till.events()
    assert till.post("/operator/refund/fail", refund=refund)[0] == 400


@pytest.mark.parametrize(
    ("outcome", "moved", "last"),
    [("won", [-500, 500], "charge.dispute.funds_reinstated"), ("lost", [-500], "charge.dispute.closed")],
)
def test_dispute_takes_the_money_and_returns_it_if_won(till, charge, outcome, moved, last):
    till.operate("dispute", charge=charge["id"])
    assert till.events()[-3:] == ["charge.dispute.created", "charge.updated", "charge.dispute.funds_withdrawn"]
    (found,) = till.stripe.v1.disputes.list({"charge": charge["id"]}).data
    assert (found.status, found.amount, again(till, charge).disputed) == ("needs_response", 500, True)
    till.operate("dispute", dispute=found.id, outcome=outcome)
    closed = till.stripe.v1.disputes.retrieve(found.id)
    assert (closed.status, [one.amount for one in closed.balance_transactions]) == (outcome, moved)
    assert till.events()[-1] == last
    for fields in ({"charge": charge["id"]}, {"dispute": found.id, "outcome": "won"}):
        assert till.post("/operator/dispute", **fields)[0] == 400


def test_open_invoice_is_retried_voided_or_uncollectible(till):
    open_ones = []
    for _ in range(3):
        subscription = till.subscribe(card="fails_later")
        open_ones.append(subscription["id"])
    while len(till.stripe.v1.invoices.list({"status": "open"}).data) < 3:  # each renews at the second at which it began
        till.operate("clock", to="renewal")
    tried, void, lost = (till.latest_invoice(one)["id"] for one in open_ones)
    with pytest.raises(stripe.CardError):
        till.stripe.v1.invoices.pay(tried)
    assert till.stripe.v1.invoices.retrieve(tried).attempt_count == 2
    assert till.stripe.v1.invoices.void_invoice(void).status == "void"
    assert till.stripe.v1.invoices.mark_uncollectible(lost).status == "uncollectible"
    assert till.events()[-2:] == ["invoice.voided", "invoice.marked_uncollectible"]
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.invoices.void_invoice(lost)
    assert len(till.stripe.v1.invoices.list({"status": "open"}).data) == 1


def test_payments_are_listed_by_invoice_and_intent(till, charge):
    invoice = till.stripe.v1.invoices.list().data[0].id
    (payment,) = till.stripe.v1.invoice_payments.list({"invoice": invoice, "status": "paid"}).data
    assert (payment.amount_paid, payment.payment.payment_intent) == (500, charge["payment_intent"])
    by_intent = {"payment": {"type": "payment_intent", "payment_intent": charge["payment_intent"]}}
    assert till.stripe.v1.invoice_payments.list(by_intent).data[0].id == payment.id
    assert till.stripe.v1.invoice_payments.retrieve(payment.id).invoice == invoice
    customer = charge["customer"]
    assert till.stripe.v1.payment_intents.list({"customer": customer}).data[0].id == charge["payment_intent"]
    assert till.stripe.v1.charges.list({"payment_intent": charge["payment_intent"]}).data[0].id == charge["id"]
    (card,) = till.stripe.v1.customers.payment_methods.list(customer, {"type": "card"}).data
    assert till.stripe.v1.payment_methods.retrieve(card.id).card.last4 == "4242"
    assert till.stripe.v1.payment_methods.list({"customer": customer}).data[0].id == card.id
