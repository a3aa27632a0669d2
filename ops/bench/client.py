"""An HTTP load generator: a closed loop over keep-alive connections in one thread, for a small, steady cost."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager


class _Connection:
    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self._buffer = b""
        self._expected = 0
        self.sent_at = 0.0

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        self._buffer, self._expected = b"", 0
        self.socket.sendall(self._request)

    def receive(self) -> bool:
        """Read what arrived and return whether the response is complete. Raises RuntimeError unless it is a 200."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise RuntimeError("the server closed the connection")
        self._buffer += data
        if not self._expected:
            head, blank_line, _ = self._buffer.partition(b"\r\n\r\n")
            if not blank_line:
                return False
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode(errors="replace"))
            length = head.lower().partition(b"content-length:")[2].split()[0]
            self._expected = len(head) + 4 + int(length)
        return len(self._buffer) >= self._expected


def browser_headers(*, coding: str = "identity", cookie: str = "theme=dark") -> str:
    """The header fields of a browser that accepts ``coding``."""
    return (
        "Host: church.example\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
        "Accept-Language: en-US,en;q=0.5\r\n"
        f"Accept-Encoding: {coding}\r\n"
        "Referer: http://church.example/pages/\r\n"
        f"Cookie: {cookie}\r\n"
    )


HEADERS = browser_headers()


@contextmanager
def pinned_to_one_core() -> Iterator[None]:
    """Pin this process to one core during the block only, so that servers it starts are not pinned."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def drive(port: int, path: str, requests: int, connections: int, headers: str = HEADERS) -> list[float]:
    """Send ``requests`` GETs for ``path`` over parallel ``connections``; return the latencies in seconds."""
    message = f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode()
    latencies: list[float] = []
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            connection = _Connection(port, message)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send()
        started = connections
        while len(latencies) < requests:
            for key, _ in selector.select(30):
                connection = key.data
                if not connection.receive():
                    continue
                latencies.append(time.perf_counter() - connection.sent_at)
                if started < requests:
                    connection.send()
                    started += 1
                else:  # the server may close it once it is idle for long, while others still wait for their answers
                    selector.unregister(connection.socket)
                    connection.socket.close()
    return latencies


def percentile(values: list[float], share: float) -> float:
    """Return the value that ``share`` (0 to 1) of ``values`` do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
