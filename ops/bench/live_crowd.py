"""Many live connections in one thread, which read everything as soon as it arrives."""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections.abc import Iterator

_BATCH = 100
_TIMEOUT = 60.0


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
        self._by_fd = {sock.fileno(): sock for sock in self.sockets}
        self._poll = select.epoll()
        for fd in self._by_fd:
            self._poll.register(fd, select.EPOLLIN)

    def _open(self, tokens: list[str], room: str) -> list[socket.socket]:
        batch = [socket.create_connection(("127.0.0.1", self._port), timeout=_TIMEOUT) for _ in tokens]
        host = f"127.0.0.1:{self._port}"
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        head = f"GET /ws HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\n"
        for sock in batch:
            sock.sendall(f"{head}Upgrade: websocket\r\n{key}\r\n".encode())
        for sock, token in zip(batch, tokens, strict=True):
            _read_to(sock, b'"welcome"')
            sock.sendall(frame(type="auth", token=token) + frame(type="subscribe_room", room=room))
        for sock in batch:
            _read_to(sock, b'"room_joined"')
        return batch

    def await_all(self, marker: bytes) -> list[float]:
        """Read until each connection has received ``marker``; return the ``perf_counter`` time of each."""
        arrived: list[float] = []
        waiting = set(self._by_fd)
        for fd, data in self._arriving():
            if marker in data and fd in waiting:
                waiting.discard(fd)
                arrived.append(time.perf_counter())
            if not waiting:
                return arrived
        raise TimeoutError(f"{len(waiting)} connections never received {marker!r}")

    def _arriving(self) -> Iterator[tuple[int, bytes]]:
        deadline = time.monotonic() + _TIMEOUT
        while time.monotonic() < deadline:
            for fd, _ in self._poll.poll(1):
                data = os.read(fd, 1 << 18)
                if not data:
                    raise RuntimeError("the server closed a connection")
                yield fd, data

    def leave_unread(self, sock: socket.socket) -> None:
        """Stop reading from a connection."""
        self._poll.unregister(sock.fileno())
        del self._by_fd[sock.fileno()]

    def close(self) -> None:
        """Close all connections."""
        self._poll.close()
        for sock in self.sockets:
            sock.close()


def _read_to(sock: socket.socket, marker: bytes) -> None:
    data = b""
    while marker not in data:
        more = sock.recv(65_536)
        if not more:
            raise RuntimeError(f"the server closed a connection: {data[-300:]!r}")
        data += more
