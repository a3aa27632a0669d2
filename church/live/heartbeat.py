"""Ping all connections and enforce deadlines, from one timer instead of a timer for each connection.

Connections are spread over the spokes of a wheel, and each is pinged when its spoke comes up. A connection that has
sent nothing since its last ping, a turn ago, is dropped, whatever TCP reports (RFC 6455, section 5.5.2): within two
turns of its last sign of life. All deadlines are equally far away, so a queue keeps them in order.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from church.live.connection import Connection
from church.live.websocket_frames import PING_FRAME

_SPOKES = 50


class PingWheel:
    """Connections to ping, spread over the spokes; call ``tick`` every ``pause`` seconds."""

    def __init__(self, seconds: float) -> None:
        self.pause = seconds / _SPOKES
        self._spokes: list[set[Connection]] = [set() for _ in range(_SPOKES)]
        self._at = 0
        self._next = 0

    def add(self, connection: Connection) -> None:
        """Ping ``connection`` from now on. Spokes are filled in turn, so that a thousand arrivals spread out."""
        self._next = (self._next + 1) % _SPOKES
        self._spokes[self._next].add(connection)
        connection.spoke = self._next

    def remove(self, connection: Connection) -> None:
        """Stop pinging ``connection``."""
        self._spokes[connection.spoke].discard(connection)

    def tick(self) -> None:
        """Ping the connections of the next spoke, and drop the silent ones."""
        self._at = (self._at + 1) % _SPOKES
        for connection in tuple(self._spokes[self._at]):
            if connection.heard or connection.inbox:  # with messages that wait for our answers, reading may pause
                connection.heard = False
                connection.send(PING_FRAME)
            else:
                connection.drop("silent")


class Deadlines:
    """Call ``late`` for each connection ``seconds`` after it was added; ``late`` checks whether it still matters."""

    def __init__(self, seconds: float, late: Callable[[Connection], None]) -> None:
        self._seconds = seconds
        self._late = late
        self._waiting: deque[tuple[float, Connection]] = deque()

    def add(self, connection: Connection) -> None:
        """Start the deadline of ``connection``."""
        self._waiting.append((time.monotonic() + self._seconds, connection))

    def tick(self) -> None:
        """Call ``late`` for the connections whose time is up."""
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            self._late(self._waiting.popleft()[1])
