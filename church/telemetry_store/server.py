"""Answers the queries of pages and commands on a Unix socket, each in a thread of its own, at most four at once.

A request is a JSON line ``{"query": name, "args": {…}}``. The answer is JSON lines: ``{"rows": […]}`` any number of
times, then ``{"end": {…}}`` or ``{"error": {…}}``. A client that closes the connection stops its query.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from church.lib.threads import start_beside
from church.telemetry_store.engine import FAILED, Engine
from church.telemetry_store.memory_answers import answer_from_memory
from church.telemetry_store.queries import QUERIES, Plan
from church.telemetry_store.queries.arguments import LATEST, Arguments, bad_request
from church.telemetry_store.queries.query import Span
from church.telemetry_store.query_error import QueryError
from church.telemetry_store.store import Snapshot, Store
from church.telemetry_store.tables import TS, Row
from church.telemetry_store.task import MOST_BYTES, TOO_MUCH

log = logging.getLogger("church.observe")

MOST_AT_ONCE = 4
_MOST_CONNECTIONS = 32
_MOST_REQUEST = 64 * 1024
_PATIENCE = 10.0  # seconds without progress, for a client to send its request or to take more of the answer


class QueryServer:
    """Listens from ``start`` to ``stop``. ``facts``: what answers the queries that only ask what this process knows."""

    def __init__(
        self, path: Path, store: Store, engine: Engine, facts: Mapping[str, Callable[[], list[dict[str, Any]]]]
    ) -> None:
        self._path = path
        self._store = store
        self._engine = engine
        self._facts = facts
        self._connections = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._lock = threading.Lock()
        self.running = 0
        """How many queries the engine computes."""
        self._listener = socket.socket(socket.AF_UNIX)

    def start(self) -> None:
        """Listen. A socket that an earlier process has left is replaced. Raises OSError."""
        with suppress(FileNotFoundError):
            self._path.unlink()
        before = os.umask(0o177)
        try:
            self._listener.bind(str(self._path))
        finally:
            os.umask(before)
        self._listener.listen(_MOST_CONNECTIONS)
        start_beside("queries", self._accept)

    def stop(self) -> None:
        """Take no more queries. Those that run end with the process."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with suppress(FileNotFoundError):
            self._path.unlink()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # stopped
                return
            client.settimeout(_PATIENCE)
            if not self._connections.acquire(blocking=False):
                client.close()
                continue
            start_beside("query", self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                self._answer(client)
            except QueryError as error:
                with suppress(OSError):
                    _send(client, {"error": {"code": error.code, "detail": error.detail}})
            except OSError:  # the client has gone
                pass
            except Exception:
                log.exception("a query of the telemetry store failed", extra={"event": "observe.query_failed"})
                with suppress(OSError):
                    _send(client, {"error": {"code": "unavailable", "detail": FAILED}})
            finally:
                self._connections.release()

    def _answer(self, client: socket.socket) -> None:
        name, args = _read_request(client)
        if name in self._facts:
            Arguments(args).finish()
            _send(client, {"rows": self._facts[name]()})
            _send(client, {"end": {"cpu_ms": 0, "complete": True, "more": False}})
            return
        if name not in QUERIES:
            raise bad_request(f"There is no query {name[:60]!r}.")
        plan = QUERIES[name].parse(Arguments(args))
        memory = answer_from_memory(name, plan.args, self._store)
        if memory is not None:
            _send(client, {"rows": memory.rows})
            _send(client, {"end": {"cpu_ms": memory.cpu_ms, "complete": True, "more": memory.more}})
            return
        with self._one_of_few():
            self._relay(client, name, plan)

    @contextmanager
    def _one_of_few(self) -> Iterator[None]:
        with self._lock:
            if self.running >= MOST_AT_ONCE:
                raise QueryError("busy", "Too many questions at once. Try again in a moment.")
            self.running += 1
        try:
            yield
        finally:
            with self._lock:
                self.running -= 1

    def _relay(self, client: socket.socket, name: str, plan: Plan) -> None:
        """Have the engine's child answer, and pass its lines on."""
        snapshots = {table: self._store.snapshot(table) for table in plan.tables}
        pieces = {table: list(_list_pieces(snapshots[table], plan, span)) for table, span in plan.tables.items()}
        rows = {table: _rows_within(snapshots[table], span, plan.wanted) for table, span in plan.tables.items()}
        task = {"query": name, "args": plan.args, "pieces": pieces}
        with self._engine.open("query", task, rows, plan.seconds) as running:
            for line in running.lines(client):
                client.sendall(line + b"\n")
                if line.startswith(b'{"end"') and b'"damaged"' in line:
                    self._set_aside(snapshots, json.loads(line)["end"]["damaged"])

    def _set_aside(self, snapshots: dict[str, Snapshot], damaged: list[str]) -> None:
        for snapshot in snapshots.values():
            for segment in snapshot.segments:
                if segment.path.name in damaged:
                    self._store.set_aside(segment.info)


def _list_pieces(snapshot: Snapshot, plan: Plan, span: Span) -> Iterator[tuple[str, int, int, int]]:
    """Yield path, first and last time, and count of rows of each segment that may have rows of the span.

    The rows in memory have no path, and may have any time: to look would cost more than it saves.
    """
    begin, end = span
    yield "", 0, LATEST, len(snapshot.rows)
    for segment in snapshot.segments:
        if segment.last >= begin and segment.first < end and segment.info.last_seq > plan.after_seq:
            yield str(segment.path), segment.first, segment.last, segment.rows


def _rows_within(snapshot: Snapshot, span: Span, wanted: Callable[[Row], bool] | None) -> Iterator[Row]:
    begin, end = span
    return (row for row in snapshot.rows if begin <= row[TS] < end and (wanted is None or wanted(row)))


def _read_request(client: socket.socket) -> tuple[str, dict[str, Any]]:
    received = b""
    while b"\n" not in received:
        part = client.recv(_MOST_REQUEST)
        if not part:
            raise ConnectionResetError("the client has gone")
        received += part
        if len(received) > _MOST_REQUEST:
            raise bad_request("The request is too long.")
    try:
        request = json.loads(received)
    except ValueError:
        raise bad_request("The request is no JSON line.") from None
    if not isinstance(request, dict) or not isinstance(request.get("query"), str):
        raise bad_request("The request has no query.")
    return request["query"], request.get("args") or {}


def _send(client: socket.socket, answer: dict[str, Any]) -> None:
    line = json.dumps(answer, separators=(",", ":")).encode() + b"\n"
    if len(line) > MOST_BYTES:
        raise QueryError("too_large", TOO_MUCH)
    client.sendall(line)
