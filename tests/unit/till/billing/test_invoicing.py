"""Invoices: discounts, the customer's balance, totals and numbers."""

from __future__ import annotations

import pytest

from church.till.billing.invoicing import compute_discount, draft_invoice, finalize_invoice
from church.till.billing.lines import make_period_line
from tests.support.till_calls import item, period


def coupon(**values):
    return {"percent_off": None, "amount_off": None, "currency": None, **values}


def draft(desk, subscription, quantity=1, *discounts):
    line = make_period_line(desk, subscription, item(subscription)["price"], quantity, period(subscription))
    return draft_invoice(desk, subscription, [line], "subscription_cycle", list(discounts))


def discount(desk, **values):
    """A discount of a new coupon."""
    made = desk.add(desk.make("coupon", duration="forever", **values))
    return desk.add(desk.make("discount", source={"coupon": made["id"], "type": "coupon"}))


@pytest.mark.parametrize(
    ("terms", "amount", "expected"),
    [
        ({"percent_off": 20.0}, 500, 100),
        ({"percent_off": 12.5}, 999, 125),
        ({"amount_off": 300, "currency": "usd"}, 500, 300),
        ({"amount_off": 900, "currency": "usd"}, 500, 500),
        ({"amount_off": 300, "currency": "eur"}, 500, 0),
    ],
)
def test_discount_is_a_share_or_an_amount_in_its_currency(terms, amount, expected):
    assert compute_discount(amount, coupon(**terms), "usd") == expected


def test_discounts_apply_in_order_to_what_is_left(desk, subscribe):
    half, dollar = discount(desk, percent_off=50.0), discount(desk, amount_off=100, currency="usd")
    invoice = draft(desk, subscribe(), 1, half, dollar)
    assert (invoice["subtotal"], invoice["total"], invoice["amount_due"]) == (500, 150, 150)
    assert [entry["amount"] for entry in invoice["total_discount_amounts"]] == [250, 100]


def test_draft_is_not_stored(desk, subscribe):
    subscription = subscribe()
    assert desk.store.get(draft(desk, subscription)["id"]) is None


def test_credit_of_the_customer_pays_and_the_rest_stays(desk, subscribe):
    subscription = subscribe()
    customer = desk.get("customer", subscription["customer"])
    desk.change(customer, balance=-800)
    invoice = finalize_invoice(desk, draft(desk, subscription))
    assert (invoice["total"], invoice["amount_due"], invoice["ending_balance"]) == (500, 0, -300)
    assert desk.get("customer", customer["id"])["balance"] == -300
    assert draft(desk, subscription)["amount_due"] == 200


def test_invoices_of_a_customer_are_numbered(desk, subscribe):
    subscription = subscribe()
    numbers = [finalize_invoice(desk, draft(desk, subscription))["number"] for _ in range(2)]
    assert numbers == ["TEST-0002", "TEST-0003"]  # the first was that of the subscription
