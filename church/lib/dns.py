"""Look up host names with a time-out, which ``socket.getaddrinfo`` does not have."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future
from typing import Any

from church.lib.per_process import PerProcess

Addresses = list[tuple[Any, ...]]


class HostResolver:
    """Looks up host names on threads, one look-up for each name at a time."""

    def __init__(self) -> None:
        # a forked child has none of its parent's threads
        self._lookups: PerProcess[dict[tuple[str, int], Future[Addresses]]] = PerProcess(dict)

    def addresses(self, host: str, port: int, timeout: float | None) -> Addresses:
        """The addresses of ``host``. Raises TimeoutError and OSError. The next caller gets a late answer."""
        try:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            pass  # not an IP address
        key, lookups = (host, port), self._lookups()
        lookup = lookups.get(key)
        if lookup is None:
            lookup = lookups[key] = Future()
            threading.Thread(target=self._look_up, args=(lookup, key), daemon=True).start()
        addresses = lookup.result(timeout=timeout)
        lookups.pop(key, None)
        return addresses

    def _look_up(self, lookup: Future[Addresses], key: tuple[str, int]) -> None:
        host, port = key
        try:
            lookup.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            self._lookups().pop(key, None)
            lookup.set_exception(error)


host_resolver = HostResolver()
