"""Checkout sessions: amounts, cards, codes, and the subscription that starts."""

from __future__ import annotations

import pytest
import stripe

from church.till.billing.periods import DAY
from tests.support.till_fixture import FRIEND, PATRON


def pay(till, session, **fields):
    return till.post(
        f"/checkout/{session['id']}", do="pay", **{"card": "good", "email": "payer@site.example", **fields}
    )


def again(till, session):
    return till.stripe.v1.checkout.sessions.retrieve(session["id"]).to_dict(for_json=True)


def test_checkout_paid_returns_the_payer_and_starts_the_subscription(till):
    session = till.checkout(
        client_reference_id="u1", metadata={"church_user": "u1"}, subscription_data={"metadata": {"a": "b"}}
    )
    status, headers, _ = pay(till, session)
    assert (status, headers["location"]) == (303, f"http://site.example/done?session={session['id']}")
    done = again(till, session)
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


def test_checkout_existing_customer_needs_no_email(till):
    customer = till.stripe.v1.customers.create({"email": "a@site.example"}).id
    session = till.checkout(customer=customer)
    assert 'name="email"' not in till.get(f"/checkout/{session['id']}")[2]
    assert pay(till, session, email="")[0] == 303
    assert again(till, session)["customer"] == customer


def test_checkout_without_email_is_refused(till):
    session = till.checkout()
    status, _, body = pay(till, session, email="")
    assert (status, "Enter your email address." in body) == (422, True)
    assert again(till, session)["status"] == "open"


def test_checkout_declined_card_charges_nothing_and_can_be_replaced(till):
    session = till.checkout()
    status, _, body = pay(till, session, card="declined")
    assert (status, "declined" in body) == (402, True)
    assert till.stripe.v1.subscriptions.list({"status": "all"}).data == []
    assert till.events()[-3:] == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]
    assert pay(till, session)[0] == 303


def test_decline_switch_declines_every_card(till):
    till.operate("knobs", decline="on")
    assert pay(till, till.checkout())[0] == 402


def test_checkout_3d_secure_pays_only_after_approval(till):
    session = till.checkout()
    status, headers, _ = pay(till, session, card="secure")
    assert (status, "/authenticate?" in headers["location"]) == (303, True)
    assert "USD 5.00" in till.get(headers["location"])[2]
    assert till.post(headers["location"], do="fail", card="secure", email="payer@site.example")[0] == 402
    assert again(till, session)["status"] == "open"
    assert till.post(headers["location"], do="approve", card="secure", email="payer@site.example")[0] == 303
    assert again(till, session)["payment_status"] == "paid"


def test_checkout_paid_twice_is_refused(till):
    session = till.checkout()
    assert [pay(till, session)[0] for _ in range(2)] == [303, 409]
    assert till.post(f"/checkout/{session['id']}/authenticate", do="approve", card="secure")[0] == 409
    assert len(till.stripe.v1.subscriptions.list().data) == 1


def test_trial_costs_nothing_until_it_ends(till):
    session = till.checkout(PATRON, subscription_data={"trial_period_days": 14})
    assert (session["amount_total"], session["amount_subtotal"]) == (0, 0)
    pay(till, session)
    done = again(till, session)
    subscription = till.subscription(done["subscription"])
    assert (done["payment_status"], subscription["status"]) == ("no_payment_required", "trialing")
    assert subscription["trial_end"] - subscription["trial_start"] == 14 * DAY
    assert subscription["items"]["data"][0]["current_period_end"] == subscription["trial_end"]
    assert till.latest_invoice(subscription["id"])["amount_due"] == 0


def test_promotion_code_reduces_only_the_first_payment(till):
    session = till.checkout(allow_promotion_codes=True)
    path = f"/checkout/{session['id']}"
    assert till.post(path, do="code", code="nonsense")[0] == 422
    assert till.post(path, do="code", code=" welcome20 ")[0] == 303
    assert again(till, session)["total_details"]["amount_discount"] == 100
    assert "USD 4.00" in till.get(path)[2]
    pay(till, session)
    identity = again(till, session)["subscription"]
    invoice = till.latest_invoice(identity)
    assert (invoice["subtotal"], invoice["total"], invoice["amount_paid"]) == (500, 400, 400)
    assert invoice["total_discount_amounts"][0]["amount"] == 100
    till.operate("clock", to="renewal")
    assert till.latest_invoice(identity)["total"] == 500
    code = till.stripe.v1.promotion_codes.list({"code": "WELCOME20"}).data[0]
    assert code.times_redeemed == 1


def test_promotion_code_in_a_trial_reduces_the_first_payment(till):
    session = till.checkout(discounts=[{"coupon": "welcome20"}], subscription_data={"trial_period_days": 7})
    pay(till, session)
    identity = again(till, session)["subscription"]
    till.operate("clock", to="renewal")
    assert till.latest_invoice(identity)["total"] == 400


def test_promotion_code_not_allowed_is_refused(till):
    session = till.checkout()
    assert till.post(f"/checkout/{session['id']}", do="code", code="WELCOME20")[0] == 422


def test_checkout_expires_by_call_and_by_time(till):
    called, late = till.checkout(), till.checkout()
    till.stripe.v1.checkout.sessions.expire(called["id"])
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.checkout.sessions.expire(called["id"])
    till.operate("clock", days="2")
    for session in (called, late):
        assert (again(till, session)["status"], again(till, session)["url"]) == ("expired", None)
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


@pytest.mark.parametrize(("currency", "amount"), [("jpy", 800), ("kwd", 8000)])
def test_checkout_other_currencies_use_their_own_units(till, currency, amount):
    price = till.stripe.v1.prices.create(
        {"currency": currency, "unit_amount": amount, "product": "prod_friend", "recurring": {"interval": "month"}}
    )
    invoice = till.latest_invoice(till.subscribe(price.id)["id"])
    assert (invoice["currency"], invoice["amount_paid"], till.charge(invoice)["amount"]) == (currency, amount, amount)
