"""The open connections of a worker: bounded by address, and those that only wait make room for new ones.

WebSockets are not among them: after the handshake the live hub owns the socket, and ``church.live`` has its own limits.
"""

from __future__ import annotations

import socket
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from church.lib.network.addresses import SITE_PREFIX, network_of

_MANY = 8  # connections of one client (IPv6: of one /48), above which they take turns
_SITE_FACTOR = 8  # how many times the connections of one /64 an IPv6 /48 may have, as with the rate limits
_PAUSE = 0.005  # seconds between two turns: a refused request takes two milliseconds of them
_IDLE_SECONDS = 1.0  # how long a connection has waited for a request when one of its own network may replace it


class OpenConnections:
    """Counts connections by network, as ``network_of`` names it: None for peers without a bound, such as proxies.

    An IPv6 client is also counted by its /48, which one customer may have, against a multiple of ``per_address``.

    When all ``places`` are taken, a new connection closes the one that has waited longest for its client: first of
    those between two requests, then of those that have sent a part of one. One that is being answered is never closed.
    """

    def __init__(self, places: int, per_address: int, network_of: Callable[[str], str | None]) -> None:
        self._places = places
        self._per_address = per_address
        self._network_of = network_of
        self._open: Counter[str] = Counter()
        self._total = 0
        self._next_begins: dict[str, float] = {}
        self.idle: OrderedDict[Place, float] = OrderedDict()
        """Those between two requests, and since when; the longest waiting first."""
        self.slow: OrderedDict[Place, float] = OrderedDict()
        """Those that have sent a part of a request, and since when; the longest waiting first."""

    def enter(self, client: Any, address: str) -> Place | None:
        """Count a connection until its ``Place`` is left. None if its network has too many and none is idle."""
        network = self._network_of(address)
        if network is None:
            return Place(self, client, ())
        bounds = {network: self._per_address}
        bounds.setdefault(network_of(address, SITE_PREFIX), self._per_address * _SITE_FACTOR)
        if not all(self._open[one] < most or self._close_idle(one) for one, most in bounds.items()):
            return None
        if self._total >= self._places:
            self._close_waiting()
        return Place(self, client, tuple(bounds))

    def _close_idle(self, network: str) -> bool:
        idle = next(((place, since) for place, since in self.idle.items() if network in place.networks), None)
        if idle is None or time.monotonic() - idle[1] < _IDLE_SECONDS:
            return False
        idle[0].close()
        return True

    def _close_waiting(self) -> None:
        waiting = next(iter(self.idle), None) or next(iter(self.slow), None)
        if waiting is not None:
            waiting.close()

    def seconds_until_turn(self, network: str) -> float:
        """How long a connection of ``network`` waits before it goes on; 0 unless there are many of them."""
        if self._open[network] <= _MANY:
            return 0.0
        now = time.monotonic()
        begins = max(now, self._next_begins.get(network, 0.0))
        self._next_begins[network] = begins + _PAUSE
        return begins - now

    def count(self, networks: tuple[str, ...], change: int) -> None:
        """Count connections of ``networks``, which contain each other, more or less."""
        self._total += change
        for network in networks:
            self._open[network] += change
            if not self._open[network]:
                del self._open[network]
                self._next_begins.pop(network, None)


class Place:
    """One connection, and whether it waits for its client."""

    __slots__ = ("_connections", "_is_left", "_queue", "is_closed", "networks", "pause", "sock")

    def __init__(self, connections: OpenConnections, sock: Any, networks: tuple[str, ...]) -> None:
        self._connections = connections
        self._queue: OrderedDict[Place, float] | None = None
        self._is_left = not networks  # nothing is counted then, and nothing is closed
        self.sock = sock
        self.is_closed = False
        """Whether it made room for another. It may still receive: the kernel takes what a client goes on sending."""
        self.networks = networks
        """The networks that the connection is counted for, from the narrowest to the widest."""
        if not self._is_left:
            connections.count(networks, 1)
        self.pause = self.seconds_until_turn()
        """Seconds until this connection may begin."""

    def seconds_until_turn(self) -> float:
        """How long to wait for a turn: the connections of a network that has many begin, and go on, one by one."""
        return 0.0 if self._is_left else self._connections.seconds_until_turn(self.networks[-1])

    def wait_idle(self) -> None:
        """Wait for a request: from now on the connection may be closed for another."""
        self._wait_in(self._connections.idle)

    def wait_slow(self) -> None:
        """Wait for the rest of a request; a connection that waits so already keeps its turn."""
        self._wait_in(self._connections.slow)

    def work(self) -> None:
        """Wait no longer."""
        if self._queue is not None:
            self._queue.pop(self, None)
            self._queue = None

    def leave(self) -> None:
        """Count the connection no longer; the second call does nothing."""
        self.work()
        if not self._is_left:
            self._is_left = True
            self._connections.count(self.networks, -1)

    def close(self) -> None:
        """End what the client sends, which wakes the greenlet that waits for it. Its place is free at once."""
        self.leave()
        self.is_closed = True
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RD)

    def _wait_in(self, queue: OrderedDict[Place, float]) -> None:
        if self._queue is not queue and not self._is_left:
            self.work()
            self._queue = queue
            queue[self] = time.monotonic()
