"""Subscriptions that start, and what a payment does to them."""

from __future__ import annotations

import pytest

from church.till.billing import lines
from church.till.billing.cards import DECLINED, PAID
from church.till.billing.periods import DAY
from church.till.billing.subscribing import (
    add_pending_lines,
    bill_subscription,
    list_discounts,
    take_pending_lines,
    update_after_payment,
)
from tests.support.till_calls import item, period


def bill(desk, subscription, *, present=False):
    line = lines.make_period_line(desk, subscription, item(subscription)["price"], 1, period(subscription))
    return bill_subscription(desk, subscription, [line], "subscription_cycle", present=present)


def test_subscription_starts_active_with_a_paid_invoice(desk, subscribe):
    subscription = subscribe(quantity=2)
    assert (subscription["status"], subscription["currency"]) == ("active", "usd")
    assert desk.get("invoice", subscription["latest_invoice"])["amount_paid"] == 1000
    assert subscription["billing_cycle_anchor"] == period(subscription)[0]


def test_subscription_with_a_trial_has_an_invoice_of_zero(desk, subscribe):
    until = desk.now + 14 * DAY
    subscription = subscribe(trial_end=until)
    assert (subscription["status"], period(subscription)[1]) == ("trialing", until)
    assert desk.get("invoice", subscription["latest_invoice"])["total"] == 0


def test_declined_renewal_is_past_due_until_a_payment(desk, subscribe):
    subscription = subscribe("fails_later")
    assert bill(desk, subscription) == DECLINED
    assert subscription["status"] == "past_due"
    unpaid = desk.get("invoice", subscription["latest_invoice"])
    desk.change(unpaid, status="paid")
    update_after_payment(desk, subscription, unpaid, PAID)
    assert subscription["status"] == "active"


def test_payment_while_another_invoice_is_open_stays_past_due(desk, subscribe):
    subscription = subscribe("fails_later")
    bill(desk, subscription)
    assert bill(desk, subscription, present=True) == PAID
    assert subscription["status"] == "past_due"


def test_payment_does_not_revive_an_ended_subscription(desk, subscribe):
    subscription = desk.change(subscribe(), status="canceled")
    invoice = desk.get("invoice", subscription["latest_invoice"])
    update_after_payment(desk, subscription, invoice, PAID)
    assert subscription["status"] == "canceled"


def test_pending_lines_are_taken_once_in_order(desk, subscribe):
    subscription = subscribe()
    add_pending_lines(desk, subscription, [{"n": 1}])
    add_pending_lines(desk, subscription, [{"n": 2}, {"n": 3}])
    assert take_pending_lines(desk, subscription) == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert take_pending_lines(desk, subscription) == []


@pytest.mark.parametrize(("duration", "left"), [("once", 0), ("forever", 1)])
def test_discount_once_ends_with_the_first_invoice_it_reduces(desk, subscribe, duration, left):
    coupon = desk.add(desk.make("coupon", duration=duration, percent_off=50.0))
    discount = desk.add(desk.make("discount", source={"coupon": coupon["id"], "type": "coupon"}))
    subscription = subscribe(discounts=[discount])
    assert desk.get("invoice", subscription["latest_invoice"])["total"] == 250
    assert len(list_discounts(desk, subscription)) == left


def test_discount_that_has_ended_is_left_out(desk, subscribe):
    coupon = desk.add(desk.make("coupon", duration="repeating", percent_off=50.0))
    source = {"coupon": coupon["id"], "type": "coupon"}
    discount = desk.add(desk.make("discount", source=source, end=desk.now + DAY))
    subscription = subscribe(discounts=[discount])
    assert len(list_discounts(desk, subscription)) == 1
    with desk.at_time(desk.now + DAY):
        assert list_discounts(desk, subscription) == []
