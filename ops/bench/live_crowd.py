"""Many live connections in one thread, which read at once whatever arrives."""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections.abc import Iterator

_BATCH = 100
_PATIENCE = 60.0


def frame(**fields: str) -> bytes:
    """Encode a client's text frame; the mask is zeros, which is valid."""
    payload = json.dumps(fields).encode()
    head = bytes((0x81, 0x80 | len(payload))) if len(payload) < 126 else bytes((0x81, 0xFE)) + len(payload).to_bytes(2)
    return head + bytes(4) + payload


class Crowd:
    """Connections in a room; ``tokens`` are shared among them."""

    def __init__(self, port: int, size: int, tokens: list[str], room: str = "public") -> None:
        self._port = port
        self.sockets: list[socket.socket] = []
        for begin in range(0, size, _BATCH):
            batch = [tokens[(begin + i) % len(tokens)] for i in range(min(_BATCH, size - begin))]
            self.sockets += self._open(batch, room)
        self._by_fd = {one.fileno(): one for one in self.sockets}
        self._poll = select.epoll()
        for fd in self._by_fd:
            self._poll.register(fd, select.EPOLLIN)

    def _open(self, tokens: list[str], room: str) -> list[socket.socket]:
        batch = [socket.create_connection(("127.0.0.1", self._port), timeout=_PATIENCE) for _ in tokens]
        here = f"127.0.0.1:{self._port}"
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        ask = f"GET /ws HTTP/1.1\r\nHost: {here}\r\nOrigin: http://{here}\r\nConnection: Upgrade\r\n"
        for one in batch:
            one.sendall(f"{ask}Upgrade: websocket\r\n{key}\r\n".encode())
        for one in batch:
            _read_to(one, b'"welcome"')
        for one, token in zip(batch, tokens, strict=True):
            one.sendall(frame(type="auth", token=token) + frame(type="subscribe_room", room=room))
        for one in batch:
            _read_to(one, b'"room_joined"')
        return batch

    def await_all(self, marker: bytes) -> list[float]:
        """Read until each connection has received ``marker``; the ``perf_counter`` times."""
        arrived: list[float] = []
        wanted = set(self._by_fd)
        for fd, data in self._arriving():
            if marker in data and fd in wanted:
                wanted.discard(fd)
                arrived.append(time.perf_counter())
            if not wanted:
                return arrived
        raise TimeoutError(f"{len(wanted)} connections never received {marker!r}")

    def _arriving(self) -> Iterator[tuple[int, bytes]]:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            for fd, _ in self._poll.poll(1):
                data = os.read(fd, 1 << 18)
                if not data:
                    raise RuntimeError("the server closed a connection")
                yield fd, data

    def leave_unread(self, one: socket.socket) -> None:
        """Stop reading from a connection."""
        self._poll.unregister(one.fileno())
        del self._by_fd[one.fileno()]

    def close(self) -> None:
        """Close all connections."""
        self._poll.close()
        for one in self.sockets:
            one.close()


def _read_to(one: socket.socket, marker: bytes) -> None:
    data = b""
    while marker not in data:
        more = one.recv(65_536)
        if not more:
            raise RuntimeError(f"the server closed a connection: {data[-300:]!r}")
        data += more
