"""Products and prices."""

from __future__ import annotations

import pytest
import stripe


def test_product_with_price_is_created_and_updated_with_events(till):
    made = till.stripe.v1.products.create(
        {
            "name": "Book",
            "metadata": {"church_plan": "book"},
            "default_price_data": {"currency": "KWD", "unit_amount": 8000, "recurring": {"interval": "year"}},
        }
    )
    price = till.stripe.v1.prices.retrieve(made.default_price)
    assert (price.currency, price.unit_amount, price.recurring.interval, price.type) == (
        "kwd",
        8000,
        "year",
        "recurring",
    )
    till.stripe.v1.prices.update(price.id, {"active": False, "nickname": "old"})
    assert till.events()[-4:] == ["product.created", "price.created", "product.updated", "price.updated"]
    event = till.stripe.v1.events.list({"limit": 1}).data[0]
    assert event.data.previous_attributes.to_dict() == {"active": True, "nickname": None}


@pytest.mark.parametrize(
    "params",
    [
        {"currency": "usd", "product": "prod_friend"},
        {"currency": "usd", "product": "prod_friend", "unit_amount": -1},
        {"currency": "usd", "product": "prod_none", "unit_amount": 1},
        {"unit_amount": 1, "product": "prod_friend"},
        {"currency": "usd", "product": "prod_friend", "unit_amount": 1, "recurring": {"interval": "century"}},
    ],
)
def test_price_invalid_is_refused(till, params):
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.prices.create(params)


def test_product_with_a_used_id_is_refused(till):
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        till.stripe.v1.products.create({"id": "prod_friend", "name": "Friend"})
