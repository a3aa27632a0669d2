"""Events are listed by type and by delivery."""

from __future__ import annotations

import pytest
import stripe


def kinds(till, **params):
    return [event.type for event in till.stripe.v1.events.list(params).data]


def test_events_are_listed_by_type_and_by_all_of_a_kind(till):
    customer = till.stripe.v1.customers.create({"email": "a@site.example"}).id
    till.stripe.v1.customers.update(customer, {"name": "Ada"})
    assert kinds(till, type="customer.created") == ["customer.created"]
    assert kinds(till, type="customer.*") == ["customer.updated", "customer.created"]
    assert set(kinds(till, types=["customer.updated", "coupon.created"])) == {"customer.updated", "coupon.created"}
    assert kinds(till, type="custom") == []


def test_events_are_listed_by_delivery(till):
    customer = till.stripe.v1.customers.create({})
    [event] = till.stripe.v1.events.list({"type": "customer.created"}).data
    assert kinds(till, type="customer.*", delivery_success=True) == []
    with till.desk.store.transaction():
        till.desk.change(till.desk.get("event", event.id), pending_webhooks=0)
    assert kinds(till, type="customer.*", delivery_success=True) == ["customer.created"]
    assert till.stripe.v1.events.retrieve(event.id).data.object.id == customer.id


def test_event_that_is_unknown_is_refused(till):
    with pytest.raises(stripe.InvalidRequestError, match="No such event"):
        till.stripe.v1.events.retrieve("evt_none")
