"""Reckoning what the next invoice takes, where Stripe can't be asked."""

from __future__ import annotations

from typing import Any

import pytest

from church.services.billing.stripe.reckon_renewal import find_renewal_time, reckon_renewal
from tests.support.stripe_fixture import DAY, START, Obj, utc_time

END = START + 30 * DAY


def price(amount: int | None = 800, **values: Any) -> Obj:
    recurring = {"interval": "month", "interval_count": 1, "usage_type": "licensed"}
    base = {"id": "price_1", "unit_amount": amount, "currency": "usd", "product": "prod_1", "recurring": recurring}
    return {**base, **values}


def item(**values: Any) -> Obj:
    base = {"id": "si_1", "price": price(), "quantity": 1, "current_period_start": START, "current_period_end": END}
    return {**base, "discounts": [], **values}


def subscription(*items: Obj, **values: Any) -> Obj:
    base = {"id": "sub_1", "status": "active", "currency": "usd", "discounts": [], "schedule": None}
    return {**base, "items": {"data": list(items) or [item()]}, **values}


def discount(duration: str = "forever", end: int | None = None, start: int | None = None, **coupon: Any) -> Obj:
    source = {"type": "coupon", "coupon": {"id": "co_1", "duration": duration, **coupon}}
    return {"id": "di_1", "end": end, "start": start, "source": source}


HALF = discount(percent_off=50.0)


@pytest.mark.parametrize(
    ("discounts", "status", "renews"),
    [
        ([], "active", 800),
        ([discount(percent_off=25.0)], "active", 600),
        ([discount(percent_off=33.3)], "active", 534),
        ([discount(amount_off=150, currency="usd")], "active", 650),
        ([discount(amount_off=150, currency="eur")], "active", 800),
        (
            [discount(amount_off=150, currency="eur", currency_options={"usd": {"amount_off": 200}})],
            "active",
            600,
        ),
        ([discount(amount_off=5000, currency="usd")], "active", 0),
        ([discount("repeating", end=END + 1, percent_off=50)], "active", 400),
        ([discount("repeating", end=END, percent_off=50)], "active", 800),
        ([discount("once", percent_off=50)], "active", 800),
        ([discount("once", start=START + 5, percent_off=50)], "active", 800),
        ([discount("once", start=START + DAY, percent_off=50)], "active", 400),
        ([discount("once", percent_off=50)], "trialing", 400),
        ([HALF, discount(amount_off=100, currency="usd")], "active", 300),
        ([discount(percent_off=50, applies_to={"products": ["prod_else"]})], "active", 800),
        ([discount(percent_off=50, applies_to={"products": ["prod_else", "prod_1"]})], "active", 400),
    ],
)
def test_discount_of_the_subscription_is_taken_off(discounts: list[Obj], status: str, renews: int) -> None:
    assert reckon_renewal(subscription(discounts=discounts, status=status), None) == renews


@pytest.mark.parametrize("unknown", ["di_1", {"id": "di_1", "source": {"type": "coupon", "coupon": "co_1"}}])
def test_discount_that_is_not_told_makes_the_amount_unknown(unknown: Any) -> None:
    """No amount is better than one that is too high."""
    assert reckon_renewal(subscription(discounts=[unknown]), None) is None
    assert reckon_renewal(subscription(item(discounts=[unknown])), None) is None


def test_discount_of_an_item_is_taken_off_before_that_of_the_subscription() -> None:
    less = discount(amount_off=200, currency="usd")
    assert reckon_renewal(subscription(item(discounts=[less])), None) == 600
    assert reckon_renewal(subscription(item(discounts=[less]), discounts=[HALF]), None) == 300


def test_discount_of_the_customer_counts_where_the_subscription_has_none() -> None:
    customer = {"discount": HALF, "balance": 0}
    assert reckon_renewal(subscription(), customer) == 400
    assert reckon_renewal(subscription(discounts=[discount(percent_off=25)]), customer) == 600
    elsewhere = {"discount": discount(percent_off=50, applies_to={"products": ["prod_else"]})}
    assert reckon_renewal(subscription(), elsewhere) == 800


def test_items_are_added_and_a_coupon_for_one_of_them_spares_the_others() -> None:
    add_on = item(id="si_2", price=price(300, id="price_2", product={"id": "prod_2"}))
    both = subscription(add_on, item())
    assert reckon_renewal(both, None) == 1100
    assert reckon_renewal({**both, "discounts": [HALF]}, None) == 550
    only = discount(percent_off=50, applies_to={"products": ["prod_2"]})
    assert reckon_renewal({**both, "discounts": [only]}, None) == 950
    much = discount(amount_off=900, currency="usd", applies_to={"products": ["prod_1"]})
    assert reckon_renewal({**both, "discounts": [much]}, None) == 300


def test_items_with_another_period_are_on_another_invoice() -> None:
    yearly = item(id="si_2", price=price(9000, id="price_2"), current_period_end=START + 365 * DAY)
    assert find_renewal_time(subscription(yearly, item())) == utc_time(END)
    assert reckon_renewal(subscription(yearly, item()), None) == 800


@pytest.mark.parametrize(
    ("how", "quantity", "renews"),
    [
        (None, 15, 12000),
        ({"divide_by": 10, "round": "up"}, 15, 1600),
        ({"divide_by": 10, "round": "down"}, 15, 800),
        ({"divide_by": 10, "round": "up"}, 20, 1600),
        ({"divide_by": 10, "round": "up"}, 0, 0),
        (None, 0, 0),
        (None, None, 800),
    ],
)
def test_quantity_is_counted_as_the_price_wants_it(how: Obj | None, quantity: int | None, renews: int) -> None:
    one = item(price=price(transform_quantity=how), quantity=quantity)
    assert reckon_renewal(subscription(one), None) == renews


@pytest.mark.parametrize(
    ("values", "renews"),
    [
        ({"currency": "usd", "currency_options": {"eur": {"unit_amount": 700}}}, 700),
        ({"currency": "usd", "currency_options": {"eur": {"unit_amount_decimal": "69.5"}}}, 70),
        ({"currency": "usd", "currency_options": {"gbp": {"unit_amount": 700}}}, None),
        ({"currency": "usd"}, None),
        ({"currency": None}, 800),
    ],
)
def test_price_in_several_currencies_costs_that_of_the_subscription(values: Obj, renews: int | None) -> None:
    assert reckon_renewal(subscription(item(price=price(**values)), currency="eur"), None) == renews


@pytest.mark.parametrize(
    "values",
    [
        {"amount": None},
        {"amount": None, "unit_amount_decimal": "much"},
        {"recurring": {"interval": "month", "usage_type": "metered"}},
    ],
)
def test_price_that_depends_on_usage_is_unknown(values: Obj) -> None:
    assert reckon_renewal(subscription(item(price=price(**values))), None) is None


def test_price_with_fractions_is_rounded_at_the_end() -> None:
    one = item(price=price(None, unit_amount_decimal="0.5"), quantity=3)
    assert reckon_renewal(subscription(one), None) == 2


def test_tax_is_added_where_its_rate_is_told_and_makes_the_amount_unknown_elsewhere() -> None:
    rate = {"id": "txr_1", "percentage": 19.0, "inclusive": False}
    assert reckon_renewal(subscription(default_tax_rates=[rate]), None) == 952
    assert reckon_renewal(subscription(default_tax_rates=[{**rate, "inclusive": True}]), None) == 800
    own = item(tax_rates=[{**rate, "percentage": 10}])
    assert reckon_renewal(subscription(own, default_tax_rates=[rate]), None) == 880
    assert reckon_renewal(subscription(default_tax_rates=["txr_1"]), None) is None
    automatic = {"enabled": True}
    assert reckon_renewal(subscription(automatic_tax=automatic), None) is None
    included = item(price=price(tax_behavior="inclusive"))
    assert reckon_renewal(subscription(included, automatic_tax=automatic), None) == 800


@pytest.mark.parametrize(("balance", "renews"), [(-300, 500), (-900, 0), (200, 1000)])
def test_balance_of_the_customer_is_taken_in(balance: int, renews: int) -> None:
    assert reckon_renewal(subscription(), {"balance": balance, "currency": "usd"}) == renews
    assert reckon_renewal(subscription(), {"balance": balance, "currency": "eur"}) == 800


def test_schedule_changes_what_the_next_invoice_takes() -> None:
    phase = {"start_date": END, "items": [{"price": price(1500), "quantity": 2}], "discounts": []}
    schedule = {"id": "sched_1", "status": "active", "current_phase": {"end_date": END}, "phases": [phase]}
    assert reckon_renewal(subscription(schedule=schedule), None) == 3000
    discounted = {**schedule, "phases": [{**phase, "discounts": [{"discount": "di_1"}]}]}
    assert reckon_renewal(subscription(schedule=discounted, discounts=[HALF]), None) == 1500
    assert reckon_renewal(subscription(schedule=discounted), None) is None
    later = {**schedule, "phases": [{**phase, "start_date": END + DAY}]}
    assert reckon_renewal(subscription(schedule=later), None) == 800
    untold = {**schedule, "phases": [{**phase, "items": [{"price": "price_2"}]}]}
    assert reckon_renewal(subscription(schedule=untold), None) is None


def test_subscription_without_items_is_unknown() -> None:
    assert reckon_renewal({"id": "sub_1", "items": None}, None) is None
