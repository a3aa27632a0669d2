"""The engine: a child process with DuckDB, started when there is something to compute, and ended a minute later.

The parent never loads DuckDB. It gives each task to the child as one end of a socket pair. The task's rows go in and
its answer comes out as JSON lines; closing the parent's end stops the task. A child that crashed or hangs fails the
tasks it had, and the next one starts a new child.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from church.lib.processes import describe_exit
from church.telemetry_store.query_error import QueryError
from church.telemetry_store.tables import TABLES, Row

Rows = Mapping[str, Iterable[Row]]

KEPT_SECONDS = 60
"""How long a child without a task waits for the next one."""
SEAL_SECONDS = 300
TOO_LONG = "The query took too long and was stopped. Choose a shorter time."
FAILED = "The telemetry store could not run the query. Its log says why."
NO_START = "The telemetry store's engine does not start. Its log says why."
_GRACE = 3.0  # seconds for the child to stop a task by itself
_ROWS_A_WRITE = 500


class Engine:
    """Runs tasks in a child process. May be used from several threads.

    ``folder``: all that the child may open. ``module``: what it runs.
    """

    def __init__(self, folder: Path, kept_seconds: float = KEPT_SECONDS, module: str = f"{__package__}.child") -> None:
        self.folder = folder
        self._module = module
        self._kept_seconds = kept_seconds
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the child, None if there is none."""
        with self._lock:
            return self._child.pid if self._child is not None and self._child.poll() is None else None

    def run(
        self, task: str, args: dict[str, Any], rows: Rows | None = None, seconds: float = SEAL_SECONDS
    ) -> Iterator[dict[str, Any]]:
        """Run ``task`` and return the objects it answers. Raises QueryError."""
        with self.open(task, args, rows or {}, seconds) as running:
            for line in running.lines():
                answer = json.loads(line)
                if "error" in answer:
                    raise QueryError(answer["error"]["code"], answer["error"]["detail"])
                yield answer

    def open(self, task: str, args: dict[str, Any], rows: Rows, seconds: float) -> RunningTask:
        """Start ``task`` for at most ``seconds``. ``rows``: what the task finds as its tables ``recent_<name>``."""
        begin = {"task": task, "args": args, "seconds": seconds, "tables": list(rows)}
        for _ in range(2):  # a child may end, idle for a minute, in the moment it gets a task
            running = RunningTask(self, *self._hand_over(), seconds)
            if running.begin(begin, rows):
                return running
            running.close()
        raise QueryError("unavailable", NO_START)

    def stop(self) -> None:
        """End the child, with all that it computes."""
        with self._lock:
            self._end_child()

    def kill_child(self, child: int) -> str:
        """Kill the child with this process id, which hangs or has crashed, and describe how it ended."""
        with self._lock:
            if self._child is None or self._child.pid != child:
                return "ended"
            with suppress(subprocess.TimeoutExpired):
                return describe_exit(self._child.wait(0.5))
            self._end_child()
            return "killed: it did not stop in time"

    def _hand_over(self) -> tuple[socket.socket, int]:
        """Give the child one end of a new socket pair. Returns the other end, and the child's process id."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            for _ in range(2):
                child, control = self._running_child()
                try:
                    socket.send_fds(control, [b"T"], [theirs.fileno()])
                    return ours, child.pid
                except OSError:  # it has just ended
                    self._end_child()
        ours.close()
        raise QueryError("unavailable", NO_START)

    def _running_child(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        if self._child is None or self._control is None or self._child.poll() is not None:
            self._end_child()
            self._child, self._control = self._start_child()
        return self._child, self._control

    def _start_child(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair()
        ours.settimeout(_GRACE)
        command = [sys.executable, "-m", self._module, str(self.folder), str(theirs.fileno())]
        command.append(str(self._kept_seconds))
        with theirs:
            child = subprocess.Popen(  # noqa: S603 - our own module
                command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        return child, ours

    def _end_child(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None


class RunningTask:
    """A task in the child: its answer as lines. Leaving the context stops it."""

    def __init__(self, engine: Engine, connection: socket.socket, child: int, seconds: float) -> None:
        self._engine = engine
        self._child = child
        self._connection = connection
        self._deadline = time.monotonic() + seconds + _GRACE

    def __enter__(self) -> RunningTask:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self, begin: dict[str, Any], rows: Rows) -> bool:
        """Send the task. False: the child ended before it took it."""
        try:
            self._connection.settimeout(max(0.1, self._deadline - time.monotonic()))
            self._connection.sendall(json.dumps(begin).encode() + b"\n")
            for name, table_rows in rows.items():
                self._send_rows(TABLES[name].names, table_rows)
            return self._connection.recv(1) == b"\n"  # the child's mark that it has all
        except OSError:
            return False

    def _send_rows(self, names: tuple[str, ...], rows: Iterable[Row]) -> None:
        lines: list[str] = []
        for row in rows:
            lines.append(json.dumps({name: value for name, value in zip(names, row, strict=True) if value is not None}))
            if len(lines) == _ROWS_A_WRITE:
                self._connection.sendall(("\n".join(lines) + "\n").encode())
                lines.clear()
        self._connection.sendall(("\n".join([*lines, "", ""]) if lines else "\n").encode())

    def lines(self, client: socket.socket | None = None) -> Iterator[bytes]:
        """Return the answer line by line. Raises QueryError if the child hangs or crashes.

        ``client``: who asked; ends early when it has closed its connection.
        """
        rest = b""
        while received := self._receive(client):
            *lines, rest = (rest + received).split(b"\n")
            for line in lines:
                if not line:  # the mark of the end
                    return
                yield line

    def _receive(self, client: socket.socket | None) -> bytes:
        """Wait for the next bytes of the answer; none if the client has gone."""
        waiting = [self._connection] if client is None else [self._connection, client]
        ready, _, _ = select.select(waiting, (), (), max(0.0, self._deadline - time.monotonic()))
        if not ready:
            self._engine.kill_child(self._child)
            raise QueryError("timeout", TOO_LONG)
        if self._connection not in ready:
            return b""
        with suppress(OSError):
            if received := self._connection.recv(256 * 1024):
                return received
        how = self._engine.kill_child(self._child)
        raise QueryError("unavailable", f"The telemetry store's engine stopped ({how}). Try again.")

    def close(self) -> None:
        """Stop the task, if it still runs."""
        with suppress(OSError):
            self._connection.close()
