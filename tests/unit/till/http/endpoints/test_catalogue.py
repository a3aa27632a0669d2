"""Products, prices and customers, and the plans of a new till."""

from __future__ import annotations

import pytest
import stripe

from church.till.app import create_till


def test_new_till_has_two_plans_and_a_promotion_code(till):
    prices = till.stripe.v1.prices.list({"active": True, "expand": ["data.product"]}).data
    found = {(p.product.metadata["church_plan"], p.recurring.interval): p.unit_amount for p in prices}
    assert found == {
        ("friend", "month"): 500,
        ("friend", "year"): 5000,
        ("patron", "month"): 1200,
        ("patron", "year"): 12000,
    }
    assert {p.product.id: p.recurring.trial_period_days for p in prices} == {"prod_friend": None, "prod_patron": 14}
    code = till.stripe.v1.promotion_codes.list({"code": "WELCOME20", "active": True}).data[0]
    assert till.stripe.v1.coupons.retrieve(code.promotion.coupon).percent_off == 20


def test_till_restarted_keeps_changes(till, settings):
    till.stripe.v1.products.update("prod_friend", {"name": "Companion"})
    till.stripe.v1.products.update("prod_patron", {"active": False})
    again = create_till(settings).extensions["till"]
    with again.store.transaction():
        assert again.get("product", "prod_friend")["name"] == "Companion"
        assert len(list(again.store.all("product"))) == 2
    again.store.close()


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


def test_customer_is_updated_and_listed_by_email(till):
    made = till.stripe.v1.customers.create({"email": "a@site.example", "metadata": {"church_user": "u1"}})
    till.stripe.v1.customers.update(made.id, {"name": "Ada", "metadata": {"more": "1"}, "address": {"city": "Basel"}})
    (found,) = till.stripe.v1.customers.list({"email": "a@site.example"}).data
    assert (found.name, found.address.city) == ("Ada", "Basel")
    assert found.metadata.to_dict() == {"church_user": "u1", "more": "1"}


def test_customer_deleted_is_only_an_id_and_subscriptions_end(till):
    subscription = till.subscribe()
    till.stripe.v1.customers.delete(subscription["customer"])
    assert till.subscription(subscription["id"])["status"] == "canceled"
    assert till.stripe.v1.customers.retrieve(subscription["customer"]).to_dict() == {
        "id": subscription["customer"],
        "object": "customer",
        "deleted": True,
    }
    assert till.stripe.v1.customers.list().data == []
    assert till.events()[-2:] == ["customer.subscription.deleted", "customer.deleted"]
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.customers.update(subscription["customer"], {"name": "Ada"})
