"""A site behind the real worker's door, in this process: gunicorn's parser and writer over a socket that is a list."""

from __future__ import annotations

import gzip
import os
import time
from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import brotli
from flask import Flask
from gunicorn.config import Config

from church.observability.metrics import definitions
from church.server.client_stream import ClientStream
from church.server.gunicorn_worker import FairWorker
from church.server.kept_answers import Door
from church.server.known_heads import KnownRequest
from church.server.open_connections import OpenConnections
from church.server.whole_answers import settle_bodies
from church.services import videos
from church.web import answer_cache
from church.web.answer_cache import KeptAnswers

BROWSER = {"Host": "church.example", "User-Agent": "Mozilla/5.0", "Accept": "text/html,*/*;q=0.8"}
_CHANGING = {"date", "x-request-id"}


@dataclass(frozen=True)
class Sent:
    """What went over a connection: one answer, whether the connection ended, and whether the door sent it."""

    raw: bytes
    closed: bool
    by_door: bool

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.raw.split(b" ", 2)[1])

    @property
    def lines(self) -> list[str]:
        """Status line and header lines, in order."""
        return self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")

    @property
    def headers(self) -> dict[str, str]:
        """The headers, by their names in lower case."""
        return {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in self.lines[1:]}

    @property
    def body(self) -> bytes:
        """The body as sent."""
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def text(self) -> bytes:
        """The body without its coding."""
        coding = self.headers.get("content-encoding") if self.body else None
        return brotli.decompress(self.body) if coding == "br" else gzip.decompress(self.body) if coding else self.body

    @property
    def shape(self) -> tuple[list[str], bytes, bool]:
        """All that has to be the same in two answers: the length too, if they have no coding."""
        varying = _CHANGING | ({"content-length"} if "content-encoding" in self.headers else set())
        names = [line.partition(":")[0] for line in self.lines]
        lines = [name if name.lower() in varying else line for name, line in zip(names, self.lines, strict=True)]
        return lines, self.text, self.closed


class DoorSocket:
    """A connection that keeps what is sent."""

    room = 1000

    def __init__(self) -> None:
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        """Keep ``data``."""
        self.sent += data

    def send(self, data: bytes) -> int:
        """Keep the first part of ``data``, as a connection does that is nearly full."""
        self.sent += data[: self.room]
        return len(data[: self.room])

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> None:
        """Keep a part of an open file."""
        size = os.fstat(file.fileno()).st_size
        self.sent += os.pread(file.fileno(), size if count is None else count, offset)

    def settimeout(self, _seconds: float) -> None:
        """Wait for nobody."""


class DoorSite:
    """``app`` in a worker. ``has_door`` can be turned off, to see what the app itself answers."""

    def __init__(self, app: Flask, peer: Any = ("192.0.2.1", 4711)) -> None:
        self.app = app
        self.peer = peer
        self.has_door = True
        self.door = Door(app, app.config["CHURCH"])
        self.worker: Any = FairWorker.__new__(FairWorker)
        self.worker.cfg = config = Config()
        for name, value in {"keepalive": 5, "forwarded_allow_ips": "", "secure_scheme_headers": {}}.items():
            config.set(name, value)
        self.worker.nr, self.worker.max_requests, self.worker.alive = 0, 10**9, True
        self.worker._body_seconds = 5.0
        quiet = {name: lambda *_args, **_kwargs: None for name in ("debug", "access", "info", "exception")}
        self.worker.log = SimpleNamespace(**quiet)
        self.worker.wsgi = settle_bodies(answer_cache.collect_drafts(app))
        self._by_door = False
        self.worker._find_reply = self._find
        with app.app_context():
            videos.library_version()  # as in a worker that has answered before

    @property
    def answers(self) -> KeptAnswers:
        """What is kept."""
        return answer_cache.answers_of(self.app)

    def _find(self, request: Any, peer: Any) -> Any:
        reply = self.door.find(request, peer) if self.has_door else None
        self._by_door = reply is not None
        return reply

    def get(self, target: str = "/", method: str = "GET", version: str = "1.1", **headers: str) -> Sent:
        """Send one request; headers by their names with ``_``."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        fields = "".join(f"{name}: {value}\r\n" for name, value in (BROWSER | given).items())
        return self.send(f"{method} {target} HTTP/{version}\r\n{fields}\r\n".encode())

    def send(self, raw: bytes) -> Sent:
        """Send the bytes of one request."""
        sock = DoorSocket()
        place = OpenConnections(10, 10, lambda address: address).enter(sock, "192.0.2.1")
        assert place is not None
        stream = ClientStream(sock, place)
        stream.unread(raw)
        stream.started = time.perf_counter()
        request = KnownRequest(self.worker.cfg, stream, self.peer, 1)
        try:
            self.worker.handle_request(("127.0.0.1", 80), request, sock, self.peer)
        except StopIteration:
            return Sent(sock.sent, True, self._by_door)
        return Sent(sock.sent, False, self._by_door)

    def get_kept(self, target: str = "/", **options: Any) -> Sent:
        """Send a request until the door answers it: at once, or after one that looks anew and one that is kept."""
        for _ in range(2):
            self.get(target, **options)
        sent = self.get(target, **options)
        assert sent.by_door, sent.raw[:200]
        return sent

    def get_fresh(self, target: str = "/", **options: Any) -> Sent:
        """Send a request to the app itself."""
        self.has_door = False
        try:
            return self.get(target, **options)
        finally:
            self.has_door = True


def count_all() -> Counter[tuple[str, ...]]:
    """All numbers that metrics have now, without durations."""
    counted: Counter[tuple[str, ...]] = Counter()
    for family in definitions.CATALOGUE.collect():
        for sample in family.samples:
            if not sample.name.endswith(("_sum", "_bucket", "_created")):
                counted[(sample.name, *map(str, sorted(sample.labels.items())))] += cast("int", sample.value)
            if sample.name.endswith("_bucket") and sample.labels["le"] == "+Inf":
                counted[(sample.name, *map(str, sorted(sample.labels.items())))] += cast("int", sample.value)
    return counted
