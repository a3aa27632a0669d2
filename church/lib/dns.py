"""Host names looked up within a time, which getaddrinfo itself does not know."""

from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import Future
from typing import Any

Addresses = list[tuple[Any, ...]]


class Names:
    """Looks hosts up on a thread; one look-up a name at a time."""

    def __init__(self) -> None:
        self._lookups: dict[tuple[int, str, int], Future[Addresses]] = {}

    def addresses(self, host: str, port: int, timeout: float | None) -> Addresses:
        """The addresses of ``host``. A late answer is kept for the next caller; raises TimeoutError, OSError."""
        try:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            pass  # a name then
        key = (os.getpid(), host, port)  # a thread does not live on in a forked child
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = self._lookups[key] = Future()
            threading.Thread(target=self._look_up, args=(lookup, key), daemon=True).start()
        found = lookup.result(timeout=timeout)
        self._lookups.pop(key, None)
        return found

    def _look_up(self, lookup: Future[Addresses], key: tuple[int, str, int]) -> None:
        _, host, port = key
        try:
            lookup.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            self._lookups.pop(key, None)
            lookup.set_exception(error)


names = Names()
