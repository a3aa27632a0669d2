"""Benchmark live connections: memory of an idle one, CPU to reach a thousand, latency beside a stalled client.

Reaching a thousand is compared with a bare loop of sends. In ``live_fan_out`` another process stores the message, as
with many workers; ``live_fan_out_stored`` includes storing it. Medians, because the machine's own noise is in all.
"""

from __future__ import annotations

import resource
import secrets
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from church import create_app
from church.extensions import db
from church.models import User
from church.models.base import utc_now
from church.services import chat, member_tokens, sessions
from church.services.sessions import Device, SignedIn
from ops.bench.client import percentile
from ops.bench.live_crowd import Crowd, frame
from ops.bench.server import UNLIMITED, Server, serving

_IDLE = 10_000
_MEMBERS = 20
_CROWD = 1_000
_MESSAGES = 20
_SETTINGS = {
    "CHURCH_LIVE_PER_MEMBER": "1000",
    "CHURCH_LIVE_PER_ADDRESS": "200000",
    "CHURCH_LIVE_PING": "300",
    "CHURCH_LIMIT_LIVE": UNLIMITED,
    "CHURCH_LIMIT_CHAT": UNLIMITED,
    "CHURCH_LIMIT_HISTORY": UNLIMITED,
    "CHURCH_CONNECTIONS_PER_ADDRESS": "100000",
}


def measure(rounds: int) -> dict[str, float]:
    """Measure KiB per idle connection, CPU of a message to 1,000 over a bare loop, p99 beside a stalled client."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with serving("ops.bench.live_app:app", **_SETTINGS) as server:
        ratios = {"live_idle_kib": _idle(server, _Members(server).tokens)}
    with serving("ops.bench.live_app:app", **_SETTINGS) as server:
        members = _Members(server)
        with _crowd(server, _CROWD, members.tokens) as crowd:
            ratios |= _fan_out(server, crowd, members, rounds)
            ratios["live_stalled_p99"] = _stalled(crowd, rounds)
    return ratios


@contextmanager
def _crowd(server: Server, size: int, tokens: list[str]) -> Iterator[Crowd]:
    crowd = Crowd(server.port, size, tokens)
    try:
        yield crowd
    finally:
        crowd.close()


class _Members:
    """Members with access tokens, and the site in this process, through which one of them posts."""

    def __init__(self, server: Server) -> None:
        self._app = create_app(server.settings)
        self.tokens: list[str] = []
        with self._app.app_context():
            for _ in range(_MEMBERS):
                self._author = _member()
                self.tokens.append(member_tokens.issue_token(self._author).token)

    def post(self, crowd: Crowd) -> None:
        """Post a message on a thread and wait until all connections have it.

        The crowd waits before the first send, as for a message over a connection: a send that wakes it costs more.
        """
        name = secrets.token_hex(8)
        posting = threading.Thread(target=self._post, args=(name,))
        posting.start()
        crowd.await_all(name.encode())
        posting.join()

    def _post(self, name: str) -> None:
        with self._app.app_context():
            chat.post_message(self._author, "public", f"{name} {'x' * 300}", name)


def _member() -> SignedIn:
    now = utc_now()
    with db.write() as session:
        user = User(ref=secrets.token_hex(8), name="Ada", source="cli", created_at=now, verified_at=now)
        session.add(user)
        session.flush()
        raw = sessions.start_session(session, user, Device("127.0.0.1", "bench"))
    found = sessions.load(raw)
    if found is None:
        raise RuntimeError("the session was not stored")
    return found


def _idle(server: Server, tokens: list[str]) -> float:
    with _crowd(server, 100, tokens):  # warm up: memory that the first connections load is not counted
        before = server.memory()
    with _crowd(server, _IDLE, tokens):
        each = (server.memory() - before) / _IDLE / 1024
        print(f"  {_IDLE} idle connections on one worker: {each:.1f} KiB each")
    return each


def _fan_out(server: Server, crowd: Crowd, members: _Members, rounds: int) -> dict[str, float]:
    sent, stored, bare = [], [], []
    for _ in range(rounds):
        sent.append(_cpu_of(server, lambda: members.post(crowd)))
        stored.append(_cpu_of(server, lambda: _send(crowd)))
        bare.append(_cpu_of(server, lambda: _bare_loop(server, crowd)))
    ours, storing, loop = map(statistics.median, (sent, stored, bare))
    line = f"a message to {_CROWD}: {ours * 1e3:.2f} ms of CPU, with storing it {storing * 1e3:.2f} ms"
    print(f"  {line}; a bare loop of sends {loop * 1e3:.2f} ms")
    print(f"  storing a message costs {(storing - ours) * 1e3:.2f} ms of CPU more than passing it on")
    return {"live_fan_out": ours / loop, "live_fan_out_stored": storing / loop}


def _cpu_of(server: Server, act: Callable[[], object]) -> float:
    before = server.cpu()
    for _ in range(_MESSAGES):
        act()
    return (server.cpu() - before) / _MESSAGES


def _send(crowd: Crowd) -> list[float]:
    """Send a message over a connection; return the seconds until each connection received it."""
    name = secrets.token_hex(8)
    message = frame(type="chat", room="public", client_id=name, message=f"{name} {'x' * 300}")
    started = time.perf_counter()
    crowd.sockets[0].sendall(message)
    return [at - started for at in crowd.await_all(name.encode())]


def _bare_loop(server: Server, crowd: Crowd) -> None:
    """Run the bare loop while the crowd reads, as for a message: a send that wakes a reader costs more."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"GET /bench/bare HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        crowd.await_all(b"xxxx")
        while connection.recv(4096):
            pass


def _stalled(crowd: Crowd, rounds: int) -> float:
    """Return the p99 latency of a message to a thousand while one of them reads nothing, over the usual p99."""
    usual = [seconds for _ in range(rounds * _MESSAGES) for seconds in _send(crowd)]
    crowd.leave_unread(crowd.sockets[-1])
    stalled = [seconds for _ in range(rounds * _MESSAGES) for seconds in _send(crowd)]
    slow, plain = percentile(stalled, 0.99), percentile(usual, 0.99)
    print(f"  p99 of {_CROWD} receiving a message: {plain * 1e3:.1f} ms, beside a stalled client {slow * 1e3:.1f} ms")
    return slow / plain


if __name__ == "__main__":
    for name, value in measure(3).items():
        print(f"RATIO {name} {value:.2f}")
