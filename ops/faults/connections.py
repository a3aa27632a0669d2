"""Open far more connections than a worker has places for, and send nothing on them, or half a request."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from functools import partial
from typing import Any

from ops.faults.attack import Attack

_HELD_SECONDS = 5.0
HALF_A_REQUEST = (
    b"POST /pages/ HTTP/1.1\r\nHost: church.example\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 1000\r\n\r\na"
)


def hold(port: int, _prepared: Any, number: int, sent: bytes) -> None:
    """Open ``number`` connections, send ``sent`` on each, and hold them for some seconds."""
    connections = []
    for _ in range(number):
        with suppress(OSError):
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            connections.append(connection)
            connection.sendall(sent)
    time.sleep(_HELD_SECONDS)
    for connection in connections:
        connection.close()


ATTACKS = (
    Attack("half_requests", "2,100 connections with half a body each", partial(hold, number=2100, sent=HALF_A_REQUEST)),
    Attack("idle_connections", "4,000 connections without a byte", partial(hold, number=4000, sent=b"")),
)
