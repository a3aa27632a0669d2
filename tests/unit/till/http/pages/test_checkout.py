"""The checkout page: cards, 3-D Secure, and forms that are refused."""

from __future__ import annotations

from tests.support.till_calls import pay, read_session


def test_product_name_is_escaped(till):
    till.stripe.v1.products.update("prod_friend", {"name": "<b>Friend</b>"})
    body = till.get(f"/checkout/{till.checkout()['id']}")[2]
    assert "<b>" not in body
    assert "&lt;b&gt;Friend" in body


def test_checkout_existing_customer_needs_no_email(till):
    customer = till.stripe.v1.customers.create({"email": "a@site.example"}).id
    session = till.checkout(customer=customer)
    assert 'name="email"' not in till.get(f"/checkout/{session['id']}")[2]
    assert pay(till, session, email="")[0] == 303
    assert read_session(till, session)["customer"] == customer


def test_checkout_without_email_is_refused(till):
    session = till.checkout()
    status, _, body = pay(till, session, email="")
    assert (status, "Enter your email address." in body) == (422, True)
    assert read_session(till, session)["status"] == "open"


def test_checkout_declined_card_charges_nothing_and_can_be_replaced(till):
    session = till.checkout()
    status, _, body = pay(till, session, card="declined")
    assert (status, "declined" in body) == (402, True)
    assert till.stripe.v1.subscriptions.list({"status": "all"}).data == []
    assert till.events()[-3:] == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]
    assert pay(till, session)[0] == 303


def test_checkout_3d_secure_pays_only_after_approval(till):
    session = till.checkout()
    status, headers, _ = pay(till, session, card="secure")
    assert (status, "/authenticate?" in headers["location"]) == (303, True)
    assert "USD 5.00" in till.get(headers["location"])[2]
    assert till.post(headers["location"], do="fail", card="secure", email="payer@site.example")[0] == 402
    assert read_session(till, session)["status"] == "open"
    assert till.post(headers["location"], do="approve", card="secure", email="payer@site.example")[0] == 303
    assert read_session(till, session)["payment_status"] == "paid"


def test_checkout_paid_twice_is_refused(till):
    session = till.checkout()
    assert [pay(till, session)[0] for _ in range(2)] == [303, 409]
    assert till.post(f"/checkout/{session['id']}/authenticate", do="approve", card="secure")[0] == 409
    assert len(till.stripe.v1.subscriptions.list().data) == 1
