"""A stand-in for the telemetry store: answers its queries with rows that a test chooses."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from church.lib.local_servers import observatory_socket


class StoreStandIn:
    """Answers each query with the lines of ``answers``, by name, else with no rows; ``asked`` are the requests."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: dict[str, list[dict[str, Any]] | bytes] = {}
        self._functions: dict[str, Callable[[dict[str, Any]], list[dict[str, Any]]]] = {}

    def give(self, query: str, *rows: dict[str, Any], **end: Any) -> None:
        """Let a query have these rows."""
        self.answers[query] = [{"rows": list(rows)}, {"end": {"cpu_ms": 1.5, "complete": True, "more": False, **end}}]

    def answer_with(self, query: str, function: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> None:
        """Let a function make the lines of a query's answer from the request."""
        self._functions[query] = function

    def fail(self, query: str, code: str, detail: str) -> None:
        """Let a query fail."""
        self.answers[query] = [{"error": {"code": code, "detail": detail}}]

    def args_of(self, query: str) -> dict[str, Any]:
        """The arguments of the last query of this name."""
        found: dict[str, Any] = [request["args"] for request in self.asked if request["query"] == query][-1]
        return found

    def answer(self, client: socket.socket) -> None:
        """Answer one connection."""
        request = json.loads(client.makefile("rb").readline())
        self.asked.append(request)
        function = self._functions.get(request["query"])
        lines = (
            function(request)
            if function
            else self.answers.get(request["query"], [{"end": {"cpu_ms": 0, "complete": True, "more": False}}])
        )
        sent = lines if isinstance(lines, bytes) else b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        client.sendall(sent)


@contextmanager
def running_stand_in(instance: Path) -> Iterator[StoreStandIn]:
    """Run a stand-in for the store of ``instance``."""
    stand_in = StoreStandIn()
    path = observatory_socket(instance)
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, suppress(OSError):
                    stand_in.answer(client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield stand_in
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            path.unlink()
