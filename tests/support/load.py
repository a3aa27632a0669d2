"""Clients that count what they were answered: sockets that stay open, requests one after another on each."""

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
    """What the clients saw: answers by (path, status), and requests that got none."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    unanswered: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Connection:
    """HTTP/1.1 over one socket, opened again when the server has said that it will close, or has closed an idle one."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def get(self, path: str, method: str = "GET", headers: str = "", host: str = "church.example") -> int:
        """The status of an answer, read to its end. Raises OSError when there is none."""
        if self._is_over():
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

    def _is_over(self) -> bool:
        """Whether the server has ended the connection since the last answer: it waits seconds for the next request."""
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
        """End the connection; the next request opens one."""
        if self._socket is not None:
            self._file.close()
            self._socket.close()
            self._socket = None


def _is_readable(socket_: socket.socket) -> bool:
    poll = select.poll()
    poll.register(socket_, select.POLLIN)
    return bool(poll.poll(0))


def run(port: int, paths: Sequence[str], connections: int, until: Callable[[int], bool], pause: float = 0) -> Tally:
    """Ask for ``paths`` in turn on each connection until ``until(requests so far of that connection)``.

    ``pause`` is how many seconds a client takes between two requests, to leave the cores to what a test waits for.
    """
    tally = Tally()

    def client(first: int) -> None:
        connection, asked = Connection(port), 0
        while not until(asked):
            path = paths[(first + asked) % len(paths)]
            asked += 1
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
    """Start ``work``; the second ``next`` waits for it to end."""
    result: list[Tally] = []
    thread = threading.Thread(target=lambda: result.append(work()), daemon=True)
    thread.start()
    yield Tally()
    thread.join()
    yield result[0]
