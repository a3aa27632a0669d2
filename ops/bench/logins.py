"""Benchmark other requests while one client signs in without pause: the p99 of /health compared with idle."""

from __future__ import annotations

import json
import statistics
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from ops.bench.client import drive, percentile
from ops.bench.server import UNLIMITED, Server, serving

_CONNECTIONS = 2


def measure(rounds: int, requests: int) -> float:
    """Return p99 of /health during logins over idle p99, alternating on one worker; the median of the rounds."""
    ratios = []
    limits = {"CHURCH_LIMIT_LOGIN": UNLIMITED, "CHURCH_LIMIT_LOGIN_ACCOUNT": UNLIMITED}
    with serving(**limits) as server:
        drive(server.port, "/health", requests, _CONNECTIONS)
        for _ in range(rounds):
            idle = percentile(drive(server.port, "/health", requests, _CONNECTIONS), 0.99)
            with _logins(server) as statuses:
                busy = percentile(drive(server.port, "/health", requests, _CONNECTIONS), 0.99)
            print(f"  /health: p99 {idle * 1e3:.2f} ms idle, {busy * 1e3:.2f} ms beside {len(statuses)} logins")
            ratios.append(busy / idle)
    return statistics.median(ratios)


@contextmanager
def _logins(server: Server) -> Iterator[list[int]]:
    """Try to sign in again and again during the block; give the statuses. Raises RuntimeError unless all are 401."""
    statuses: list[int] = []
    stop = threading.Event()

    def sign_in() -> None:
        while not stop.is_set():
            statuses.append(_login(server.port))

    thread = threading.Thread(target=sign_in)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join(30)
    if set(statuses) != {401}:
        raise RuntimeError(f"logins returned {sorted(set(statuses))} instead of 401")


def _login(port: int) -> int:
    body = json.dumps({"email": "nobody@church.example", "password": "a password that is wrong"}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/auth/login", body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
