"""Ask the telemetry store of this host: logs, traces, errors and metrics, by named queries over its Unix socket.

The store is a process of its own (``flask church observe``). Each question has a time limit, and an answer a bound.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from church.config import Settings
from church.errors import InvalidError, UnavailableError
from church.lib.local_servers import observatory_socket

Row = dict[str, Any]

TIMEOUT = 6.0
"""Seconds for an answer: a second more than the store allows itself."""
LONG_TIMEOUT = 31.0
"""Seconds for an answer that comes in pieces, such as a search of all logs."""
MOST_BYTES = 9 * 1024 * 1024
_CONNECT = 1.0
_PIECE = 64 * 1024


class TelemetryStoreDownError(UnavailableError):
    """The telemetry store does not run, or does not answer in time."""

    def __init__(self) -> None:
        super().__init__("The telemetry store does not answer. Start it with: flask church observe")


class TelemetryQueryError(UnavailableError):
    """The telemetry store could not answer a question: ``code`` is busy, timeout, too_large or unavailable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class BadQueryError(InvalidError):
    """The question is wrong, such as a time that is none."""


@dataclass
class Answer:
    """The rows of an answer; ``is_complete``: nothing was left out; ``has_more``: there are more beyond the limit."""

    rows: list[Row] = field(default_factory=list)
    is_complete: bool = True
    has_more: bool = False
    cpu_ms: float = 0.0


def ask(settings: Settings, query: str, **args: Any) -> Answer:
    """Ask a question; arguments that are None are left out.

    Raises TelemetryStoreDownError, TelemetryQueryError, BadQueryError.
    """
    answer = Answer()
    with closing(_exchange(settings, query, args, TIMEOUT)) as lines:
        for line in lines:
            answer.rows += line.get("rows", ())
            _note_end(answer, line)
    return answer


def stream(settings: Settings, query: str, **args: Any) -> Iterator[list[Row]]:
    """Yield the rows of an answer as they are found. To close the iterator stops the query. Raises like ``ask``."""
    for line in _exchange(settings, query, args, LONG_TIMEOUT):
        if rows := line.get("rows"):
            yield rows


def is_running(settings: Settings) -> bool:
    """Whether the store of this host answers."""
    try:
        ask(settings, "status")
    except UnavailableError:
        return False
    return True


def _note_end(answer: Answer, line: Row) -> None:
    end = line.get("end")
    if end is not None:
        answer.is_complete, answer.has_more = bool(end.get("complete", True)), bool(end.get("more"))
        answer.cpu_ms = float(end.get("cpu_ms") or 0)


def _exchange(settings: Settings, query: str, args: Row, seconds: float) -> Generator[Row, None, None]:
    """Yield the lines of the answer up to its end; raises what an error line says."""
    request = {"query": query, "args": {name: value for name, value in args.items() if value is not None}}
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_CONNECT)
            connection.connect(str(observatory_socket(settings.instance)))
            connection.sendall(json.dumps(request).encode() + b"\n")
            for line in _read_lines(connection, time.monotonic() + seconds):
                if "error" in line:
                    raise _to_error(line["error"])
                yield line
                if "end" in line:
                    return
    except (OSError, ValueError):
        raise TelemetryStoreDownError from None
    raise TelemetryStoreDownError  # it closed the connection in the middle


def _read_lines(connection: socket.socket, deadline: float) -> Iterator[Row]:
    pieces: list[bytes] = []
    size = 0
    while True:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        piece = connection.recv(_PIECE)
        if not piece:
            return
        size += len(piece)
        if size > MOST_BYTES:
            raise TelemetryQueryError("too_large", "The answer is too large. Ask for less.")
        head, newline, rest = piece.partition(b"\n")
        pieces.append(head)
        while newline:
            yield json.loads(b"".join(pieces))
            head, newline, rest = rest.partition(b"\n")
            pieces = [head]


def _to_error(error: Row) -> Exception:
    code, detail = str(error.get("code")), str(error.get("detail"))
    return BadQueryError(detail) if code == "bad_request" else TelemetryQueryError(code, detail)
