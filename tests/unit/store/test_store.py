"""The store's address and operations, without a server."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest
from flask import Flask

from church.extensions import store
from church.store import Store, StoreClient, StoreDownError, store_url
from church.store import client as store_client
from church.store.client import remaining_time
from tests.support.services_fixture import site_settings


@pytest.fixture
def down(tmp_path):
    """Settings of a site whose store does not run. The port stays bound, so that no other server can listen there."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        yield site_settings(tmp_path, REDIS_URL=f"redis://127.0.0.1:{deaf.getsockname()[1]}")


def test_url_without_redis_is_the_embedded_socket_escaped(tmp_path):
    (tmp_path / "a b?").mkdir()
    settings = site_settings(tmp_path / "a b?")
    assert store_url(settings).startswith("unix:///")
    client = StoreClient(settings).client
    assert client.connection_pool.connection_kwargs["path"] == str(settings.instance / "store.sock")


def test_url_with_redis_is_the_setting(tmp_path):
    assert (
        store_url(site_settings(tmp_path, REDIS_URL="rediss://:secret@cache.example/2"))
        == "rediss://:secret@cache.example/2"
    )


def test_store_call_has_less_than_a_tenth_of_a_second(down, monkeypatch):
    monkeypatch.setattr(store_client, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    with StoreClient(down).client.circuit.call():
        assert remaining_time() < 0.1


def test_store_down_publish_returns_false(down):
    client = StoreClient(down)
    assert client.ping() is False
    assert client.publish("rooms", "hello") is False


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.get("a"),
        lambda c: c.set("a", "b", 5),
        lambda c: c.delete("a"),
        lambda c: c.run_script("return 1", ["a"], []),
        lambda c: c.client.incr("a"),
    ],
)
def test_store_down_error_is_a_503(down, call):
    with pytest.raises(StoreDownError) as raised:
        call(StoreClient(down))
    assert raised.value.status == 503


def test_store_init_app_gives_each_app_its_own_client(down):
    apps = [Flask("one"), Flask("two")]
    for app in apps:
        app.config["CHURCH"] = down
        store.init_app(app)
    clients = []
    for app in apps:
        with app.app_context():
            clients.append(store.client)
    assert clients[0] is not clients[1]


def test_store_without_an_app_context_raises():
    with pytest.raises(RuntimeError, match="application context"):
        Store().ping()
