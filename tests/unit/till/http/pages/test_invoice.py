"""The page of an invoice, where an open one is paid."""

from __future__ import annotations


def test_renewal_with_3d_secure_is_paid_on_the_invoice_page(till):
    subscription = till.subscribe(card="always_secure")
    till.operate("clock", to="renewal")
    assert {"payment_intent.requires_action", "invoice.payment_action_required"} <= set(till.events())
    path = "/invoice/" + till.latest_invoice(subscription["id"])["id"]
    assert "Pay USD 5.00" in till.get(path)[2]
    assert till.post(path, do="pay")[0] == 303
    assert till.subscription(subscription["id"])["status"] == "active"
    assert till.post(path, do="pay")[0] == 409


def test_paid_invoice_shows_no_button_and_is_not_paid_again(till):
    path = "/invoice/" + till.latest_invoice(till.subscribe()["id"])["id"]
    assert 'value="pay"' not in till.get(path)[2]
    assert till.post(path, do="pay")[0] == 409
    assert len(till.stripe.v1.charges.list().data) == 1


def test_declined_card_leaves_the_invoice_open(till):
    subscription = till.subscribe()
    till.operate("knobs", decline="on")
    till.operate("clock", to="renewal")
    path = "/invoice/" + till.latest_invoice(subscription["id"])["id"]
    status, _, body = till.post(path, do="pay")
    assert (status, "Choose another card in the customer portal." in body) == (402, True)
    assert till.latest_invoice(subscription["id"])["status"] == "open"
    assert till.post(path, do="other")[0] == 409
