"""The other client: it reads pages at a steady pace while the site is attacked."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

_PAUSE = 0.04
_PATIENCE = 10.0
_THREADS = 32


@dataclass
class OtherClient:
    """Sends a GET every 40 ms on a new connection, from other addresses than the attacker's.

    A time counts from when the request was due, so a site that pauses for a second shows in every request that
    was due in it, not in one alone.
    """

    port: int
    path: str = "/health"
    times: list[float] = field(default_factory=list)
    refused: int = 0

    def read_for(self, seconds: float) -> OtherClient:
        """Read for so long; returns this client with its times. A request without an answer counts as ten seconds."""
        end = time.monotonic() + seconds
        lock = threading.Lock()

        def read(due: float, number: int) -> None:
            served = self._is_served(number)
            took = time.monotonic() - due if served else _PATIENCE
            with lock:
                self.times.append(took)
                self.refused += not served

        with ThreadPoolExecutor(_THREADS) as pool:
            for number in itertools.count():
                due = time.monotonic()
                if due >= end:
                    break
                pool.submit(read, due, number)
                time.sleep(_PAUSE)
        return self

    def _is_served(self, number: int) -> bool:
        source = f"127.{2 + number // 200 % 50}.0.{1 + number % 200}"
        request = f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n"
        try:
            with socket.create_connection(("127.0.0.1", self.port), _PATIENCE, (source, 0)) as connection:
                connection.sendall(request.encode())
                answer = b""
                while piece := connection.recv(65_536):
                    answer += piece
        except OSError:
            return False
        return answer.startswith(b"HTTP/1.1 200")
