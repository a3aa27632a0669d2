"""The till's database: transactions, order, filters, and a restart."""

from __future__ import annotations

import pytest

from church.till.store import Store


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "till.db")
    yield made
    made.close()


def put(store, *identities, **fields):
    for identity in identities:
        store.put({"id": identity, "object": "thing", **fields})


def ids(found):
    return [one["id"] for one in found]


def test_transaction_failed_is_rolled_back(store):
    with store.transaction():
        put(store, "a")

    def fail():
        with store.transaction():
            put(store, "b")
            store.set_knob("clock", "5")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.transaction():
        assert ids(store.all("thing")) == ["a"]
        assert store.get_knob("clock", "0") == "0"


def test_put_again_updates_and_keeps_the_order(store):
    with store.transaction():
        put(store, "a", "b")
        put(store, "a", colour="red")
        assert ids(store.all("thing")) == ["b", "a"]
        assert store.get("a")["colour"] == "red"


def test_all_filters_by_fields_nested_fields_and_position(store):
    with store.transaction():
        put(store, "a", "b", "c", owner={"name": "x", "active": True})
        put(store, "d", owner={"name": "y", "active": False})
        assert ids(store.all("thing", owner__name="x")) == ["c", "b", "a"]
        assert ids(store.all("thing", owner__active=False)) == ["d"]
        assert ids(store.all("thing", after="c")) == ["b", "a"]
        assert ids(store.all("thing", before="b")) == ["c", "d"]
        assert ids(store.all("other")) == []


def test_get_of_another_kind_is_none(store):
    with store.transaction():
        put(store, "a")
        assert store.get("a", "thing")
        assert store.get("a", "other") is None


def test_store_reopened_has_everything(store, tmp_path):
    with store.transaction():
        put(store, "a")
        store.set_knob("delay", "2.5")
    again = Store(tmp_path / "till.db")
    with again.transaction():
        assert again.get("a") is not None
        assert again.get_knob("delay") == "2.5"
    again.close()
