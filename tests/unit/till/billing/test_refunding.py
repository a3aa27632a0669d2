"""Refunds and disputes."""

from __future__ import annotations

import pytest
import stripe


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
