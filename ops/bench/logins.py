"""What one client that signs in without pause does to everybody else: the p99 of /health against idle."""

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
    """p99 of /health while logins go on over p99 without, alternated on one worker; the median of the rounds."""
    ratios = []
    limits = {"CHURCH_LIMIT_LOGIN": UNLIMITED, "CHURCH_LIMIT_LOGIN_ACCOUNT": UNLIMITED}
    with serving(**limits) as server:
        drive(server.port, "/health", requests, _CONNECTIONS)
        for _ in range(rounds):
            idle = percentile(drive(server.port, "/health", requests, _CONNECTIONS), 0.99)
            with _logins(server) as tries:
                busy = percentile(drive(server.port, "/health", requests, _CONNECTIONS), 0.99)
            print(f"  /health: p99 {idle * 1e3:.2f} ms idle, {busy * 1e3:.2f} ms beside {len(tries)} logins")
            ratios.append(busy / idle)
    return statistics.median(ratios)


@contextmanager
def _logins(server: Server) -> Iterator[list[int]]:
    """Sign in one after the other until the body is done; the statuses. Raises RuntimeError for any but 401."""
    statuses: list[int] = []
    over = threading.Event()

    def sign_in() -> None:
        while not over.is_set():
            statuses.append(_login(server.port))

    thread = threading.Thread(target=sign_in)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join(30)
    if set(statuses) != {401}:
        raise RuntimeError(f"logins were answered with {sorted(set(statuses))}, not 401")


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
