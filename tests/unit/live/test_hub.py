"""The hub: limits, authentication deadline, shutdown, and errors of its background tasks."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from flask import Flask

from church.live import close_all, close_blocked, heartbeat, hub, message_handlers
from church.live.broadcast_receiver import PRESENCE, TYPING, BroadcastReceiver
from church.live.hub import Hub, hub_of, init_app
from church.live.session_watch import SessionWatch
from church.observability.metrics import definitions
from church.telemetry import Handshake
from tests.support.forks import in_child
from tests.support.helpers import captured_log
from tests.support.live_fixture import masked
from tests.support.live_stubs import person, run_until

Connect = Callable[..., socket.socket]
RUN_UPDATES = Hub._run_updates


@pytest.fixture
def one(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub without background updates, with a long authentication deadline."""
    for part in (BroadcastReceiver, SessionWatch):
        monkeypatch.setattr(part, "run", lambda _self: None)
    monkeypatch.setattr(Hub, "_run_updates", lambda _self: None)
    monkeypatch.setattr(hub, "_AUTH_SECONDS", 600)
    monkeypatch.setattr(hub, "_LINGER_SECONDS", 0.05)
    monkeypatch.setattr(hub, "_GOODBYE_SECONDS", 60)
    app.config["CHURCH"] = app.config["CHURCH"].model_copy(update={"live_per_address": 2, "live_connections": 3})
    found = Hub(app)
    yield found
    found.close()


@pytest.fixture
def connect(one: Hub, app: Flask) -> Iterator[Connect]:
    theirs: list[socket.socket] = []

    def make(address: str = "192.0.2.1") -> socket.socket:
        ours, client = socket.socketpair()
        client.settimeout(60)
        theirs.append(client)
        assert one.reserve(address) is None
        with app.app_context():
            one.adopt(ours.detach(), address, b"", Handshake("r1", address, None), None)
        return client

    yield make
    for client in theirs:
        client.close()


def active() -> Any:
    return definitions.websocket_connections_active._value.get()


def test_reserve_over_the_limit_of_address_or_worker_is_refused(one: Hub, connect: Connect) -> None:
    first = connect()
    connect()
    assert one.reserve("192.0.2.1") == "refused_address"
    assert one.reserve("192.0.2.2") is None  # reserved places count, too
    assert one.reserve("192.0.2.3") == "refused_full"
    one.release("192.0.2.2")
    connect("192.0.2.2")
    assert one.reserve("192.0.2.3") == "refused_full"
    assert active() == 3
    first.close()
    run_until(lambda: one.reserve("192.0.2.1") is None, "a place is free again")
    assert active() == 2


def test_reserve_over_the_limit_of_an_ipv6_site_is_refused_from_all_its_networks(one: Hub) -> None:
    one._most = 100
    places = [f"2001:db8:1:{subnet}::{host}" for subnet in range(8) for host in (1, 2)]
    assert [one.reserve(address) for address in places] == [None] * 16
    assert one.reserve("2001:db8:1:9::1") == "refused_address"
    assert one.reserve("2001:db8:2::1") is None
    one.release(places[0])
    assert one.reserve("2001:db8:1:0::3") is None
    assert one.reserve("2001:db8:1:9::1") == "refused_address"


def test_client_that_does_not_authenticate_in_time_is_closed(
    one: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, known = connect(), connect()
    (connection,) = [c for c in one.connections if c is not min(one.connections, key=lambda c: c.since)]
    one.admit(connection, person())
    one._auth_deadlines.tick()
    assert len(one.connections) == 2, "the deadline has not passed"
    later = time.monotonic() + 601
    with monkeypatch.context() as patch:
        patch.setattr(heartbeat, "time", SimpleNamespace(monotonic=lambda: later))
        run_until(lambda: len(one.connections) == 1, "the silent connection is closed")
    assert silent.recv(1000).endswith(b"\x11\x31send auth first")
    assert one.by_member == {"ada": {connection}}
    known.close()
    run_until(lambda: not one.by_member, "no member is registered")
    assert not one.limits._own


def test_client_gone_during_authentication_is_not_registered(
    one: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drop_and_find(connection: Any, _token: object) -> tuple[Any, None]:
        connection.drop("gone")
        dropped.append(connection)
        return person(), None

    dropped: list[Any] = []
    monkeypatch.setattr(message_handlers, "_authenticate", drop_and_find)
    connect().sendall(masked(1, b'{"type":"auth","token":"x"}'))
    run_until(lambda: dropped and dropped[0].inbox is None, "the answer")
    assert not one.by_member


def test_expiry_of_the_last_token_closes_the_connection(
    one: Hub, connect: Connect, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = iter([time.time() + 100, time.time() - 1])
    monkeypatch.setattr(message_handlers, "_authenticate", lambda _connection, _token: (person(), next(ends)))
    client = connect()
    (connection,) = one.connections
    for _ in range(2):
        client.sendall(masked(1, b'{"type":"auth","token":"x"}'))
        shown = connection.until
        run_until(lambda shown=shown: connection.until != shown, "the token is taken")
    with app.app_context():
        one.session_watch.check([connection])
    run_until(lambda: not one.connections, "the end")
    assert client.recv(1000).endswith(b"\x11\x31access token expired")


def test_close_sends_1001_to_all_and_drops_clients_that_do_not_answer(one: Hub, connect: Connect) -> None:
    answers, hangs = connect(), connect()
    answers.sendall(masked(1, b"{"))
    ending = gevent.spawn(close_all)
    run_until(lambda: not one.connections, "all have been closed")
    assert b"\x03\xe9" in hangs.recv(1000)
    answers.close()
    ending.get(timeout=60)
    assert hangs.recv(1000) == b""
    assert active() == 0
    assert one.reserve("192.0.2.9") == "refused_full"


def test_connections_of_refused_addresses_are_closed_and_others_stay(one: Hub, connect: Connect) -> None:
    blocked, _other = connect("203.0.113.7"), connect("198.51.100.9")
    assert close_blocked(lambda address: address == "203.0.113.7") == ["203.0.113.7"]
    assert blocked.recv(1000).endswith(b"\x03\xf0blocked")  # 1008
    assert {connection.address for connection in one.connections} == {"198.51.100.9"}


def test_client_adopted_after_close_gets_1001(one: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    assert one.reserve("192.0.2.1") is None
    one.close()
    with monkeypatch.context() as patch:  # the place was reserved before the close
        patch.setattr(one, "reserve", lambda _address: None)
        late = connect()
    assert b"\x03\xe9" in late.recv(1000)
    assert late.recv(1000) == b""
    assert (active(), one._tasks) == (0, [])


def test_failed_task_is_logged_and_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    def task() -> None:
        begun.append(1)
        if len(begun) == 1:
            raise LookupError

    begun: list[int] = []
    monkeypatch.setattr(gevent, "sleep", lambda _seconds: None)
    with captured_log() as sink:
        hub._restart_on_error(task)
    assert len(begun) == 2
    assert [record["event"] for record in sink.records] == ["live.failed"]


def test_unreadable_broadcast_is_ignored(one: Hub) -> None:
    for channel in ("chat:public", "chat:control", "notices", PRESENCE, TYPING, "live:unknown"):
        for line in ("", "[]", "7", "{}", '{"worker":"w","rooms":[]}', '{"worker":"w","rooms":{"a":[[]]}}'):
            one.relay.hear(channel, line)
    assert not one.presence._others


def test_timers_of_a_worker_without_connections_sleep_until_the_next(
    one: Hub, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hub, "_run_updates", RUN_UPDATES)
    connect().close()
    run_until(lambda: not one._occupied.is_set(), "the last is gone, and no timer runs")
    connect(), connect("192.0.2.2")
    assert one._occupied.is_set()
    for connection in tuple(one.connections):
        connection.close(1001, "bye", "shutdown")
    run_until(lambda: not one._lingering, "clients that do not answer are dropped by the timers")


def test_hub_made_before_a_fork_is_made_anew_with_another_name(app: Flask) -> None:
    init_app(app)
    before = hub_of(app)
    assert hub_of(app) is before
    names = [before.relay.worker, *(in_child(lambda: hub_of(app).relay.worker) for _ in range(2))]
    assert len(set(names)) == 3
