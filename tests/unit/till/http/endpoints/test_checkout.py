"""Checkout sessions: created, paid, expired or refused."""

from __future__ import annotations

import pytest
import stripe

from tests.support.till_calls import pay, read_session
from tests.support.till_fixture import FRIEND


def test_checkout_paid_returns_the_payer_and_starts_the_subscription(till):
    session = till.checkout(
        client_reference_id="u1", metadata={"church_user": "u1"}, subscription_data={"metadata": {"a": "b"}}
    )
    status, headers, _ = pay(till, session)
    assert (status, headers["location"]) == (303, f"http://site.example/done?session={session['id']}")
    done = read_session(till, session)
    assert (done["status"], done["payment_status"], done["url"]) == ("complete", "paid", None)
    assert (done["client_reference_id"], done["metadata"]) == ("u1", {"church_user": "u1"})
    assert done["customer_details"]["email"] == "payer@site.example"
    subscription = till.subscription(done["subscription"])
    assert (subscription["status"], subscription["metadata"]) == ("active", {"a": "b"})
    invoice = till.latest_invoice(subscription["id"])
    assert (invoice["status"], invoice["amount_paid"], invoice["billing_reason"]) == (
        "paid",
        500,
        "subscription_create",
    )
    assert invoice["parent"]["subscription_details"]["subscription"] == subscription["id"]
    charge = till.charge(invoice)
    assert (charge["amount_captured"], charge["status"], charge["currency"]) == (500, "succeeded", "usd")


def test_checkout_paid_emits_events_in_order(till):
    till.subscribe()
    assert [kind for kind in till.events() if kind.startswith(("customer.sub", "invoice", "checkout"))] == [
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "invoice_payment.paid",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
        "checkout.session.completed",
    ]


def test_checkout_expires_by_call_and_by_time(till):
    called, late = till.checkout(), till.checkout()
    till.stripe.v1.checkout.sessions.expire(called["id"])
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.checkout.sessions.expire(called["id"])
    till.operate("clock", days="2")
    for session in (called, late):
        assert (read_session(till, session)["status"], read_session(till, session)["url"]) == ("expired", None)
        assert pay(till, session)[0] == 409
    assert till.events().count("checkout.session.expired") == 2


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"mode": "payment"}, "mode"),
        ({"success_url": "javascript:alert(1)"}, "success_url"),
        ({"line_items": [{"price": "price_none"}]}, "line_items[0][price]"),
        ({"line_items": []}, "line_items"),
        ({"customer": "cus_none"}, "customer"),
        ({"customer": "cus_1", "customer_email": "a@site.example"}, "customer"),
        ({"discounts": [{"coupon": "none"}]}, "coupon"),
        ({"subscription_data": {"colour": "red"}}, "subscription_data[colour]"),
    ],
)
def test_checkout_invalid_parameter_is_refused(till, params, param):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        till.checkout(**params)
    assert caught.value.param == param


def test_checkout_inactive_price_is_refused(till):
    till.stripe.v1.prices.update(FRIEND, {"active": False})
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        till.checkout()
