"""Payments, payment intents, charges and cards are listed and linked."""

from __future__ import annotations


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
