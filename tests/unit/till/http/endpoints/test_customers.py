"""Customers: create, update, list and delete."""

from __future__ import annotations

import pytest
import stripe


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
    stub = {"id": subscription["customer"], "object": "customer", "deleted": True}
    for options in ({}, {"expand": ["invoice_settings.default_payment_method", "subscriptions"]}):
        assert till.stripe.v1.customers.retrieve(subscription["customer"], options).to_dict() == stub
    assert till.stripe.v1.customers.list().data == []
    assert till.events()[-2:] == ["customer.subscription.deleted", "customer.deleted"]
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.customers.update(subscription["customer"], {"name": "Ada"})
