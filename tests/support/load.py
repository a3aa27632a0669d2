"""Load generator: keep-alive connections that send one request after another and count the answers."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Results of the clients: answers by path and status, and requests without an answer."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    unanswered: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Connection:
    """An HTTP/1.1 connection that reopens its socket after the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def get(self, path: str, method: str = "GET", headers: str = "", host: str = "church.example") -> int:
        """Send a request, read the whole answer and return its status. Raises OSError without an answer."""
        if self._is_closed():
            self.close()
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=60)
            self._file = self._socket.makefile("rb")
        try:
            self._socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n".encode())
            return self._answer(method)
        except OSError:
            self.close()
            raise

    def _is_closed(self) -> bool:
        """Whether the server has closed the connection since the last answer: it keeps idle ones for seconds only."""
        return self._socket is not None and _is_readable(self._socket)

    def _answer(self, method: str) -> int:
        line = self._file.readline()
        if not line:
            raise ConnectionResetError("no answer")
        status, length, closing = int(line.split()[1]), 0, False
        while (header := self._file.readline().strip().lower()) != b"":
            name, _, value = header.partition(b":")
            if name == b"content-length":
                length = int(value)
            elif name == b"connection":
                closing = value.strip() == b"close"
        if method != "HEAD" and length and len(self._file.read(length)) < length:
            raise ConnectionResetError("half an answer")
        if closing:
            self.close()
        return status

    def close(self) -> None:
        """Close the connection. The next request opens a new one."""
        if self._socket is not None:
            self._file.close()
            self._socket.close()
            self._socket = None


def _is_readable(socket_: socket.socket) -> bool:
    poll = select.poll()
    poll.register(socket_, select.POLLIN)
    return bool(poll.poll(0))


def run(port: int, paths: Sequence[str], connections: int, until: Callable[[int], bool], pause: float = 0) -> Tally:
    """Request ``paths`` in turn on each connection until ``until(requests so far on this connection)`` is true.

    ``pause`` is the number of seconds between two requests, which leaves the processor to other work of a test.
    """
    tally = Tally()

    def client(first: int) -> None:
        connection, requests = Connection(port), 0
        while not until(requests):
            path = paths[(first + requests) % len(paths)]
            requests += 1
            try:
                status = connection.get(path)
            except OSError:
                with tally.lock:
                    tally.unanswered += 1
            else:
                with tally.lock:
                    tally.answers[path, status] += 1
            if pause:
                time.sleep(pause)
        connection.close()

    threads = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def in_background(work: Callable[[], Tally]) -> Iterator[Tally]:
    """Start ``work`` in a thread. The first ``next`` starts it, the second waits for its result."""
    result: list[Tally] = []
    thread = threading.Thread(target=lambda: result.append(work()), daemon=True)
    thread.start()
    yield Tally()
    thread.join()
    yield result[0]
