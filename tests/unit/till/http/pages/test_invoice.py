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
