"""The bound of connections by address, and which of them make room for others."""

from __future__ import annotations

from typing import Any

import pytest

from church.lib.network.addresses import client_network
from church.server import open_connections
from church.server.open_connections import OpenConnections, Place

MANY = 100


class Sock:
    """A connection that remembers whether it was ended."""

    ended = False

    def shutdown(self, _how: int) -> None:
        self.ended = True


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [100.0]
    monkeypatch.setattr(open_connections.time, "monotonic", lambda: clock[0])
    return clock


def made(places: int = MANY, per_address: int = MANY) -> OpenConnections:
    """Connections of which those of the address "proxy" have no bound."""
    return OpenConnections(places, per_address, lambda address: None if address == "proxy" else address)


def entered(connections: OpenConnections, address: str) -> Place:
    place = connections.enter(Sock(), address)
    assert place is not None
    return place


def is_ended(place: Place) -> bool:
    sock: Any = place.sock
    return bool(sock.ended)


def test_address_with_too_many_connections_gets_no_further_place() -> None:
    connections = made(per_address=2)
    first, _ = entered(connections, "a"), entered(connections, "a")
    assert connections.enter(Sock(), "a") is None
    entered(connections, "b")
    first.leave()
    first.leave()
    entered(connections, "a")
    assert connections.enter(Sock(), "a") is None


def test_ipv6_site_has_eight_times_the_connections_of_one_of_its_networks() -> None:
    connections = OpenConnections(MANY, 2, client_network)
    places = [entered(connections, f"2001:db8:1:{n // 2:x}::{n:x}") for n in range(16)]
    assert connections.enter(Sock(), "2001:db8:1:ff::1") is None
    entered(connections, "2001:db8:2::1")
    places[0].leave()
    entered(connections, "2001:db8:1:ff::1")


def test_networks_of_an_ipv6_site_take_turns_together(now: list[float]) -> None:
    connections = OpenConnections(MANY, MANY, client_network)
    pauses = [entered(connections, f"2001:db8:1:{n:x}::1").pause for n in range(11)]
    assert pauses == pytest.approx([0] * 8 + [0, 0.005, 0.01])


def test_idle_connection_of_an_ipv6_site_makes_room_for_another_of_its_networks(now: list[float]) -> None:
    connections = OpenConnections(MANY, 1, client_network)
    places = [entered(connections, f"2001:db8:1:{n:x}::1") for n in range(8)]
    places[3].wait_idle()
    now[0] += 2
    entered(connections, "2001:db8:1:ff::1")
    assert [is_ended(place) for place in places].index(True) == 3


def test_trusted_proxy_has_no_bound() -> None:
    connections = made(places=1, per_address=1)
    places = [entered(connections, "proxy") for _ in range(5)]
    for place in places:
        place.wait_idle()
    entered(connections, "a")
    entered(connections, "a" * 2)
    assert not any(is_ended(place) for place in places)


def test_idle_connection_makes_room_for_another_of_its_address(now: list[float]) -> None:
    connections = made(per_address=2)
    older, younger = entered(connections, "a"), entered(connections, "a")
    other = entered(connections, "b")
    for place in (other, older, younger):
        place.wait_idle()
    now[0] += 2
    entered(connections, "a")
    assert [is_ended(place) for place in (other, older, younger)] == [False, True, False]


def test_connection_idle_for_a_moment_makes_no_room_for_its_own_address(now: list[float]) -> None:
    """Otherwise each connection of a flood would cost the end of another."""
    connections = made(per_address=1)
    entered(connections, "a").wait_idle()
    assert connections.enter(Sock(), "a") is None


def test_full_worker_closes_the_longest_idle_connection_first() -> None:
    connections = made(places=4)
    slow, idle, idle_later, busy = (entered(connections, name) for name in "abcd")
    slow.wait_slow()
    idle.wait_idle()
    idle_later.wait_idle()
    order = []
    for name in "efg":
        entered(connections, name)
        order.append([is_ended(place) for place in (slow, idle, idle_later, busy)])
    assert order == [
        [False, True, False, False],
        [False, True, True, False],
        [True, True, True, False],
    ]


def test_connection_that_is_answered_is_never_closed() -> None:
    connections = made(places=1)
    busy = entered(connections, "a")
    busy.wait_idle()
    busy.work()
    entered(connections, "b")
    assert not is_ended(busy)


def test_slow_connection_keeps_its_turn_however_often_it_sends() -> None:
    connections = made(places=2)
    dripping, other = entered(connections, "a"), entered(connections, "b")
    dripping.wait_slow()
    other.wait_slow()
    dripping.wait_slow()
    entered(connections, "c")
    assert (is_ended(dripping), is_ended(other)) == (True, False)


def test_connections_of_one_address_take_turns_once_there_are_many(now: list[float]) -> None:
    connections = made()
    pauses = [entered(connections, "a").pause for _ in range(12)]
    assert pauses == pytest.approx([0] * 8 + [0, 0.005, 0.01, 0.015])
    assert entered(connections, "b").pause == 0
    now[0] += 1
    assert entered(connections, "a").pause == 0
