"""Totals, promotion codes and trials of a checkout, and the subscription that starts."""

from __future__ import annotations

import pytest

from church.till.billing.periods import DAY
from tests.support.till_calls import pay, read_session
from tests.support.till_fixture import PATRON


def test_trial_costs_nothing_until_it_ends(till):
    session = till.checkout(PATRON, subscription_data={"trial_period_days": 14})
    assert (session["amount_total"], session["amount_subtotal"]) == (0, 0)
    pay(till, session)
    done = read_session(till, session)
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
    assert read_session(till, session)["total_details"]["amount_discount"] == 100
    assert "USD 4.00" in till.get(path)[2]
    pay(till, session)
    identity = read_session(till, session)["subscription"]
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
    identity = read_session(till, session)["subscription"]
    till.operate("clock", to="renewal")
    assert till.latest_invoice(identity)["total"] == 400


def test_promotion_code_not_allowed_is_refused(till):
    session = till.checkout()
    assert till.post(f"/checkout/{session['id']}", do="code", code="WELCOME20")[0] == 422


@pytest.mark.parametrize(("currency", "amount"), [("jpy", 800), ("kwd", 8000)])
def test_checkout_other_currencies_use_their_own_units(till, currency, amount):
    price = till.stripe.v1.prices.create(
        {"currency": currency, "unit_amount": amount, "product": "prod_friend", "recurring": {"interval": "month"}}
    )
    invoice = till.latest_invoice(till.subscribe(price.id)["id"])
    assert (invoice["currency"], invoice["amount_paid"], till.charge(invoice)["amount"]) == (currency, amount, amount)
