"""Lines of an invoice: whole periods, trials and prorations."""

from __future__ import annotations

import pytest

from church.till.billing import lines
from church.till.billing.periods import DAY
from tests.support.till_calls import item, period
from tests.support.till_fixture import PATRON


def test_line_of_a_period_costs_price_times_quantity(desk, subscribe):
    subscription = subscribe()
    line = lines.make_period_line(desk, subscription, item(subscription)["price"], 3, (10, 20))
    assert (line["amount"], line["quantity"], line["period"]) == (1500, 3, {"start": 10, "end": 20})
    assert line["description"].endswith("Friend (per month)")
    assert line["parent"]["subscription_item_details"]["proration"] is False
    assert line["discountable"]


def test_line_of_a_trial_costs_nothing(desk, subscribe):
    subscription = subscribe()
    line = lines.make_trial_line(desk, subscription, item(subscription)["price"], 3, (10, 20))
    assert (line["amount"], line["description"]) == (0, "Trial period for Friend")


@pytest.mark.parametrize(("share", "credit", "charge"), [(0.0, -500, 1200), (0.5, -250, 600), (1.0, 0, 0)])
def test_prorations_are_by_the_share_of_the_period_that_is_left(desk, subscribe, share, credit, charge):
    subscription = subscribe()
    start, end = period(subscription)
    at = start + int((end - start) * share)
    unused = lines.make_unused_time_line(desk, subscription, at)
    remaining = lines.make_remaining_time_line(desk, subscription, desk.get("price", PATRON), 1, at)
    assert (unused["amount"], remaining["amount"]) == (credit, charge)
    assert unused["period"] == {"start": at, "end": end}
    for line in (unused, remaining):
        assert line["parent"]["subscription_item_details"]["proration"] is True
        assert not line["discountable"]


def test_proration_outside_the_period_is_all_or_nothing(desk, subscribe):
    subscription = subscribe()
    start, end = period(subscription)
    assert lines.make_unused_time_line(desk, subscription, start - 10 * DAY)["amount"] == -500
    assert lines.make_unused_time_line(desk, subscription, end + 10 * DAY)["amount"] == 0


def test_product_that_is_gone_is_named_by_its_id(desk):
    price = desk.get("price", PATRON)
    assert lines.get_product_name(desk, price) == "Patron"
    assert lines.get_product_name(desk, {**price, "product": "prod_gone"}) == "prod_gone"
