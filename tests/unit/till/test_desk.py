"""The till's state: its clock, its objects and the events of each change."""

from __future__ import annotations

import time

import pytest

from church.till.desk import current_till, reachable
from church.till.http.errors import NoSuchObjectError


@pytest.fixture
def desk(till):
    with till.desk.store.transaction():
        yield till.desk


def last_event(desk):
    return next(desk.store.all("event"))


def test_clock_is_ahead_by_its_knob_and_fixed_within_a_block(desk):
    desk.store.set_knob("clock", "86400")
    assert desk.now - time.time() == pytest.approx(86400, abs=60)
    with desk.at_time(1000):
        assert desk.now == 1000
        assert desk.make("customer")["created"] == 1000
    assert desk.now > 1000


def test_event_has_the_real_time_and_waits_for_its_delay(desk):
    desk.store.set_knob("delay", "3600")
    desk.new_delivery.clear()
    with desk.at_time(1000):
        desk.add(desk.make("customer"), "customer.created")
    event = last_event(desk)
    [[due]] = desk.store.execute("SELECT due FROM deliveries WHERE event = ?", event["id"])
    assert event["created"] > 1000
    assert due - event["created"] == pytest.approx(3600, abs=2)
    assert desk.new_delivery.is_set()


def test_change_emits_the_previous_values_and_nothing_without_a_change(desk):
    customer = desk.add(desk.make("customer", email="a@site.example"))
    desk.change(customer, "customer.updated", email="b@site.example", name=None)
    event = last_event(desk)
    assert event["data"]["previous_attributes"] == {"email": "a@site.example"}
    assert event["data"]["object"]["email"] == "b@site.example"
    desk.change(customer, "customer.updated", email="b@site.example")
    assert last_event(desk) == event


def test_change_of_an_unknown_field_raises(desk):
    with pytest.raises(KeyError, match="customer has no"):
        desk.change(desk.add(desk.make("customer")), colour="red")


@pytest.mark.parametrize("identity", ["cus_none", None, "prod_friend", "cus_gone"])
def test_get_missing_deleted_or_of_another_kind_raises(desk, identity):
    desk.store.put({"id": "cus_gone", "object": "customer", "deleted": True})
    with pytest.raises(NoSuchObjectError) as caught:
        desk.get("customer", identity, "customer")
    assert (caught.value.status, caught.value.body()["error"]["param"]) == (404, "customer")


def test_current_till_is_that_of_the_app(till):
    with till.app.app_context():
        assert current_till() is till.desk


def test_reachable_wildcard_address_becomes_loopback():
    assert reachable("0.0.0.0:8001") == "127.0.0.1:8001"
    assert reachable("[::]:8001") == "[::1]:8001"
    assert reachable("till.example:8001") == "till.example:8001"
