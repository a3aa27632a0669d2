"""Converting Stripe's objects to our columns, with odd and missing fields."""

from __future__ import annotations

from typing import Any

import pytest

from church.services.billing.stripe.objects import (
    customer_values,
    get_id,
    invoice_values,
    owner_ref,
    plan_of_product,
    price_values,
    product_values,
    subscription_values,
)
from tests.support.stripe_fixture import DAY, START, utc_time

END = START + 30 * DAY


def subscription(**values: Any) -> dict[str, Any]:
    price = {
        "id": "price_1", "unit_amount": 800, "currency": "usd", "product": {"id": "prod_1"},
        "recurring": {"interval": "month", "interval_count": 1},
    }  # fmt: skip
    item = {"id": "si_1", "price": price, "quantity": 1, "current_period_start": START, "current_period_end": END}
    base = {
        "id": "sub_1", "status": "active", "currency": "usd", "start_date": START, "created": START,
        "items": {"data": [item]}, "cancel_at": None, "cancel_at_period_end": False, "latest_invoice": "in_1",
    }  # fmt: skip
    return {**base, **values}


def test_subscription_period_comes_from_its_item() -> None:
    found = subscription_values(subscription(), "patron")
    assert (found["current_period_start"], found["current_period_end"]) == (utc_time(START), utc_time(END))
    assert (found["amount"], found["currency"], found["interval"]) == (800, "usd", "month")
    assert (found["stripe_price"], found["stripe_product"], found["latest_invoice"]) == ("price_1", "prod_1", "in_1")
    assert found["plan"] == "patron"


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ({}, None),
        ({"cancel_at_period_end": True}, END),
        ({"cancel_at": START + DAY}, START + DAY),
        ({"cancel_at": START + DAY, "cancel_at_period_end": True}, START + DAY),
    ],
)
def test_subscription_cancelled_in_either_way_has_an_end(values: dict[str, Any], ends: int | None) -> None:
    found = subscription_values(subscription(**values), "patron")["cancel_at"]
    assert found == (utc_time(ends) if ends else None)


def test_subscription_past_due_counts_from_the_invoice_date() -> None:
    invoice = {"id": "in_2", "created": END - 10, "status_transitions": {"finalized_at": END}}
    late = subscription(status="past_due", latest_invoice=invoice)
    assert subscription_values(late, "p")["past_due_since"] == utc_time(END)
    assert subscription_values(subscription(status="past_due"), "p")["past_due_since"] == utc_time(START)
    assert subscription_values({**late, "status": "active"}, "p")["past_due_since"] is None


def test_subscription_with_a_schedule_has_the_next_price() -> None:
    phases = [
        {"start_date": START, "end_date": END, "items": [{"price": "price_1"}]},
        {"start_date": END, "end_date": END + DAY, "items": [{"price": {"id": "price_0"}}]},
    ]
    schedule = {"id": "sub_sched_1", "status": "active", "current_phase": {"end_date": END}, "phases": phases}
    found = subscription_values(subscription(schedule=schedule), "p")
    assert (found["stripe_schedule"], found["next_price"], found["next_price_at"]) == (
        "sub_sched_1",
        "price_0",
        utc_time(END),
    )
    released = subscription_values(subscription(schedule={**schedule, "status": "released"}), "p")
    assert released["next_price"] is None
    assert subscription_values(subscription(schedule="sub_sched_1"), "p")["stripe_schedule"] == "sub_sched_1"


@pytest.mark.parametrize("bare", [{}, {"items": None}, {"items": {"data": []}}, {"items": {"data": [{"price": None}]}}])
def test_subscription_with_few_fields_is_converted(bare: dict[str, Any]) -> None:
    found = subscription_values({"id": "sub_1", "status": "active", **bare}, "p")
    assert (found["status"], found["amount"], found["current_period_end"], found["quantity"]) == (
        "active",
        None,
        None,
        1,
    )


def _with_add_on() -> dict[str, Any]:
    """Make a subscription whose first item is an add-on for 3 dollars, and whose second is the plan."""
    found = subscription()
    price = {"id": "price_add", "unit_amount": 300, "currency": "usd", "product": {"id": "prod_add"}}
    add_on = {"id": "si_add", "price": price, "quantity": 1, "current_period_start": 1, "current_period_end": 2}
    found["items"]["data"].insert(0, add_on)
    return found


def test_subscription_of_several_items_has_the_plans_item_and_the_sum_of_all() -> None:
    found = subscription_values(_with_add_on(), "p", "si_1")
    assert (found["stripe_item"], found["stripe_price"], found["stripe_product"]) == ("si_1", "price_1", "prod_1")
    assert (found["plan_amount"], found["amount"], found["current_period_end"]) == (800, 1100, utc_time(END))


def test_subscription_of_several_items_without_a_known_plan_takes_none_of_them() -> None:
    found = subscription_values(_with_add_on(), "p")
    assert (found["stripe_item"], found["stripe_price"], found["plan_amount"], found["amount"]) == (
        None, None, None, 1100,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("plan_prices", "expected"), [({"price_0"}, "price_0"), (set(), "price_0"), ({"price_1"}, None)]
)
def test_schedule_of_several_items_has_the_plans_next_price(plan_prices: set[str], expected: str | None) -> None:
    """The add-on comes first in the phase too, and is no change of plan."""
    items = [{"price": "price_add"}, {"price": "price_1" if expected is None else "price_0"}]
    phases = [{"start_date": END, "end_date": END + DAY, "items": items}]
    schedule = {"id": "sub_sched_1", "status": "active", "current_phase": {"end_date": END}, "phases": phases}
    found = subscription_values(_with_add_on() | {"schedule": schedule}, "p", "si_1", plan_prices)
    assert found["next_price"] == expected


@pytest.mark.parametrize(("quantity", "amount"), [(3, 2400), (0, 0), (None, 800)])
def test_subscription_amount_is_multiplied_by_its_quantity(quantity: int | None, amount: int) -> None:
    """0 is a quantity, and no missing one."""
    several = subscription()
    several["items"]["data"][0]["quantity"] = quantity
    found = subscription_values(several, "p")
    assert (found["amount"], found["plan_amount"]) == (amount, amount)


def test_subscription_with_paused_collection_says_until_when() -> None:
    assert not subscription_values(subscription(), "p")["collection_paused"]
    for resumes_at in (None, END):
        paused = subscription(pause_collection={"behavior": "void", "resumes_at": resumes_at})
        found = subscription_values(paused, "p")
        assert (found["status"], found["collection_paused"]) == ("active", True)
        assert found["resumes_at"] == (utc_time(END) if resumes_at else None)


def test_invoice_paid_by_hand_has_a_due_date_and_no_failed_payment() -> None:
    by_hand = {"status": "open", "attempt_count": 1, "collection_method": "send_invoice", "due_date": END}
    found = invoice_values(by_hand)
    assert (found["problem"], found["due_at"]) == (None, utc_time(END))
    late = subscription(status="past_due", latest_invoice={"id": "in_1", "created": START, **by_hand})
    found = subscription_values({**late, "collection_method": "send_invoice"}, "p")
    assert (found["past_due_since"], found["collection_method"]) == (utc_time(END), "send_invoice")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"status": "paid", "attempt_count": 1}, None),
        ({"status": "open", "attempt_count": 0}, None),
        ({"status": "open", "attempt_count": 2}, "payment_failed"),
        ({"status": "draft", "last_finalization_error": {"type": "x", "code": "tax_id_invalid"}}, "tax_id_invalid"),
        ({"status": "draft", "last_finalization_error": {"type": "invalid_request_error"}}, "invalid_request_error"),
        ({"status": "draft", "last_finalization_error": None}, None),
        ({"status": "void", "attempt_count": 1}, None),
    ],
)
def test_invoice_has_its_problem(values: dict[str, Any], problem: str | None) -> None:
    assert invoice_values({"id": "in_1", "currency": "usd", **values})["problem"] == problem


def test_invoice_waiting_for_3d_secure_requires_action() -> None:
    payment = {"payment": {"payment_intent": {"id": "pi_1", "status": "requires_action"}}}
    found = invoice_values({"status": "open", "attempt_count": 1, "payments": {"data": [payment]}})
    assert found["problem"] == "action_required"


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", "", None, 5])
def test_invoice_with_an_unsafe_link_has_none(address: Any) -> None:
    found = invoice_values({"hosted_invoice_url": address, "invoice_pdf": "https://stripe.example/pdf"})
    assert (found["hosted_url"], found["pdf_url"]) == (None, "https://stripe.example/pdf")


def test_customer_has_the_card_for_renewals() -> None:
    card = {"brand": "visa", "last4": "4242", "exp_month": 4, "exp_year": 2031}
    found = customer_values({"invoice_settings": {"default_payment_method": {"card": card}}})
    assert found == {"card_brand": "visa", "card_last4": "4242", "card_expires": "04/2031"}
    assert customer_values({"invoice_settings": {"default_payment_method": "pm_1"}}) == {}


def test_product_plan_comes_from_its_metadata() -> None:
    product = {"name": "Patron", "active": True, "metadata": {"church_plan": "patron", "church_order": "2"}}
    assert plan_of_product(product) == "patron"
    assert plan_of_product({"metadata": {}}) is plan_of_product("prod_1") is plan_of_product(None) is None
    found = product_values({**product, "marketing_features": [{"name": "Pages"}, {}, {"name": None}]})
    assert (found["features"], found["position"], found["description"]) == (["Pages"], 2, "")
    assert product_values({**product, "metadata": {"church_order": "first"}})["position"] == 0


def test_price_trial_comes_from_itself_or_its_product() -> None:
    product = {"id": "prod_1", "metadata": {"church_trial_days": "14"}}
    price = {"product": product, "unit_amount": 800, "currency": "usd", "active": True}
    monthly = {"interval": "month", "interval_count": 1}
    assert price_values({**price, "recurring": monthly})["trial_days"] == 14
    assert price_values({**price, "recurring": {**monthly, "trial_period_days": 7}})["trial_days"] == 7
    own = price_values({**price, "recurring": monthly, "metadata": {"church_trial_days": "3"}})
    assert (own["trial_days"], own["stripe_product"], own["tax_behavior"]) == (3, "prod_1", "unspecified")


def test_price_in_several_currencies_has_the_amounts_of_the_others() -> None:
    options = {"eur": {"unit_amount": 1100}, "usd": {"unit_amount": 1200}, "jpy": {"unit_amount": None}}
    price = {"product": "prod_1", "unit_amount": 1200, "currency": "usd", "currency_options": options}
    assert price_values(price)["currency_amounts"] == {"eur": 1100}
    assert price_values({"product": "prod_1", "currency": "usd"})["currency_amounts"] == {}


def test_price_for_one_payment_is_not_active() -> None:
    assert not price_values({"product": "prod_1", "recurring": None, "currency": "usd", "active": True})["active"]


def test_owner_ref_comes_from_metadata_or_the_checkout() -> None:
    assert owner_ref({"metadata": {"church_user": "a"}, "client_reference_id": "b"}) == "a"
    assert owner_ref({"metadata": {}, "client_reference_id": "b"}) == "b"
    assert owner_ref({"metadata": None}) is owner_ref({"client_reference_id": 7}) is None


def test_ref_is_the_id_expanded_or_not() -> None:
    assert get_id("in_1") == get_id({"id": "in_1"}) == "in_1"
    assert get_id(None) is get_id("") is get_id({}) is get_id(["in_1"]) is None
