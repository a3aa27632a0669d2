"""Send live messages that the rate limit refuses, on all connections that a member may have."""

from __future__ import annotations

import itertools
import select
import socket
import time
from contextlib import suppress

from ops.bench.live_crowd import frame
from ops.faults.attack import Attack
from ops.faults.members import Member, add_member
from ops.faults.other_client import OtherClient

_CONNECTIONS = 10
_PER_SECOND = 45
_SECONDS = 5.0


def flood(port: int, member: Member) -> None:
    """Send 45 chat messages a second on each of ten connections; open one again when the site has closed it."""
    connections = [_open(port, member) for _ in range(_CONNECTIONS)]
    end = time.monotonic() + _SECONDS
    for number in itertools.count():
        began = time.monotonic()
        if began >= end:
            break
        message = frame(type="chat", room="public", message="hello", client_id=f"{began}-{number}")
        connections = [_send(one, message) or _open(port, member) for one in connections]
        time.sleep(max(0.0, began + 1 / _PER_SECOND - time.monotonic()))
    for connection in connections:
        connection.close()


def _open(port: int, member: Member) -> socket.socket:
    host = f"127.0.0.1:{port}"
    head = f"GET /ws HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall((head + key).encode())
    with suppress(OSError):
        connection.recv(4096)
        connection.sendall(frame(type="auth", token=member.token))
    return connection


def _send(connection: socket.socket, message: bytes) -> socket.socket | None:
    """Send one message and read what has come; None, and the connection is closed, if the site has closed it."""
    with suppress(OSError):
        while select.select([connection], [], [], 0)[0]:
            if not connection.recv(65_536):
                connection.close()
                return None
        connection.sendall(message)
        return connection
    connection.close()
    return None


ATTACKS = (
    Attack(
        "live_frames",
        f"a member's {_CONNECTIONS} connections, {_PER_SECOND} refused messages a second on each",
        flood,
        lambda server: add_member(server, "attacker"),
        other=lambda port, _member: OtherClient(port, "/"),
    ),
)
