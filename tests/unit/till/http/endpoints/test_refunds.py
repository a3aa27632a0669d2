"""Endpoints of refunds: what they refuse."""

from __future__ import annotations

import pytest
import stripe


def again(till, charge):
    return till.stripe.v1.charges.retrieve(charge["id"])


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
