"""Open many connections and send the head of a request byte by byte."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any

from ops.faults.attack import Attack

_CONNECTIONS = 400
_PAUSE = 0.5


def drip(port: int, _prepared: Any) -> None:
    """Send one byte on each connection every half second, until the site has closed them all."""
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(_CONNECTIONS)]
    for byte in b"GET / HTTP/1.1\r\nHost: church.example\r\n":
        for connection in connections:
            with suppress(OSError):
                connection.send(bytes([byte]))
        time.sleep(_PAUSE)
    for connection in connections:
        connection.close()


ATTACKS = (Attack("slow_heads", "400 connections, a byte of the head each half second", drip),)
