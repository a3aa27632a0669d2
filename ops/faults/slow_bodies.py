"""Open many connections and send the body of a request byte by byte."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any

from ops.faults.attack import Attack
from ops.faults.connections import HALF_A_REQUEST

_CONNECTIONS = 400
_BYTES = 40
_PAUSE = 0.5


def drip(port: int, _prepared: Any) -> None:
    """Send one byte on each connection every half second, until the site has closed them all."""
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(_CONNECTIONS)]
    for number in range(_BYTES):
        for connection in connections:
            with suppress(OSError):
                connection.send(b"a" if number else HALF_A_REQUEST)
        time.sleep(_PAUSE)
    for connection in connections:
        connection.close()


ATTACKS = (Attack("slow_bodies", "400 connections, a byte of the body each half second", drip),)
