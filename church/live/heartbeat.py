"""Pings and deadlines of all connections: one timer that turns a wheel, not a timer for each.

A connection is in one spoke of the wheel and is pinged when its spoke comes by; one of which nothing was heard for two
turns is gone, whatever TCP believes (RFC 6455, section 5.5.2). Deadlines are all equally far away, so that a queue
holds them in order.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from church.live.connection import Connection
from church.live.websocket_frames import PING_FRAME

_SPOKES = 50
_TURNS = 2  # without a word, and a connection is gone


class Wheel:
    """The connections of a hub, spread over the spokes; ``tick`` has to be called every ``pause`` seconds."""

    def __init__(self, seconds: float) -> None:
        self.pause = seconds / _SPOKES
        self._spokes: list[set[Connection]] = [set() for _ in range(_SPOKES)]
        self._at = 0
        self._next = 0

    def add(self, connection: Connection) -> None:
        """Ping ``connection`` from now on; a thousand that come at once are not pinged at once."""
        self._next = (self._next + 1) % _SPOKES
        self._spokes[self._next].add(connection)
        connection.spoke = self._next

    def remove(self, connection: Connection) -> None:
        """Ping it no longer."""
        self._spokes[connection.spoke].discard(connection)

    def tick(self) -> None:
        """Ping the next spoke."""
        self._at = (self._at + 1) % _SPOKES
        for connection in tuple(self._spokes[self._at]):
            if connection.heard:
                connection.heard, connection.missed = False, 0
            else:
                connection.missed += 1
            if connection.missed >= _TURNS:
                connection.drop("silent")
            else:
                connection.send(PING_FRAME)


class Deadlines:
    """What has to have happened ``seconds`` after ``add``, else ``late`` is called."""

    def __init__(self, seconds: float, late: Callable[[Connection], None]) -> None:
        self._seconds = seconds
        self._late = late
        self._waiting: deque[tuple[float, Connection]] = deque()

    def add(self, connection: Connection) -> None:
        """Begin the wait of ``connection``."""
        self._waiting.append((time.monotonic() + self._seconds, connection))

    def tick(self) -> None:
        """Call ``late`` for those whose time is up; it decides whether they still matter."""
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            self._late(self._waiting.popleft()[1])
