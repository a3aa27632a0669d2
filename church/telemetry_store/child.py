"""The engine's child: the process that loads DuckDB, and runs the tasks that the parent hands over.

``python -m church.telemetry_store.child FOLDER CONTROL_FD KEPT_SECONDS``. It may open files below FOLDER alone, ends
with its parent, and by itself when it had nothing to do for KEPT_SECONDS. Each task has a thread and a connection of
its own; all share 256 MB.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import duckdb

from church.telemetry_store.cut_segments import cut_addresses
from church.telemetry_store.engine import FAILED, TOO_LONG
from church.telemetry_store.metrics.thinning import thin
from church.telemetry_store.queries import run_query
from church.telemetry_store.query_error import QueryError
from church.telemetry_store.segments import read_segments, write_segment
from church.telemetry_store.task import Task

Run = Callable[[Task], Iterator[dict[str, Any]]]

_MEMORY = "256MB"
_DISK = "512MB"  # of temporary files, for what does not fit into memory
_NONE = 2**32 - 1  # no descriptor
_STOP_AGAIN = 0.05  # seconds: an interrupt between two statements of a task has no effect


def seal(task: Task) -> Iterator[dict[str, Any]]:
    """Write the task's rows as a segment: args ``table``, ``target``."""
    table = task.args["table"]
    yield {"segment": write_segment(task.connection, table, f"recent_{table}", Path(task.args["target"]))}


def merge(task: Task) -> Iterator[dict[str, Any]]:
    """Write the rows of several segments as one: args ``table``, ``sources``, ``target``."""
    source = read_segments([Path(path) for path in task.args["sources"]])
    yield {"segment": write_segment(task.connection, task.args["table"], source, Path(task.args["target"]))}


def thin_samples(task: Task) -> Iterator[dict[str, Any]]:
    """Write fewer samples than several segments have: args ``sources``, ``resolution``, ``target``."""
    sources = [Path(path) for path in task.args["sources"]]
    yield {"segment": thin(task.connection, sources, task.args["resolution"], Path(task.args["target"]))}


def cut(task: Task) -> Iterator[dict[str, Any]]:
    """Write a segment with networks in place of addresses: args ``table``, ``sources``, ``before``, ``target``."""
    (source,) = task.args["sources"]
    target = Path(task.args["target"])
    yield {"segment": cut_addresses(task.connection, task.args["table"], Path(source), task.args["before"], target)}


TASKS: dict[str, Run] = {"query": run_query, "seal": seal, "merge": merge, "thin": thin_samples, "cut": cut}
"""What the child can do, by name."""


def main(folder: str, control: str, kept_seconds: str) -> NoReturn:
    """Serve tasks until the parent is gone, or has given none for ``kept_seconds``. Takes its command line."""
    _serve(Path(folder).resolve(), socket.socket(fileno=int(control)), float(kept_seconds))
    os._exit(0)  # without waiting for threads that still compute


def _serve(folder: Path, control: socket.socket, kept_seconds: float) -> None:
    temporary = folder / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)  # of a child that was killed
    temporary.mkdir(mode=0o700, parents=True)
    _Child(_connect(folder, temporary), temporary, control, kept_seconds).serve()


def _connect(folder: Path, temporary: Path) -> Any:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": "1",
        "memory_limit": _MEMORY,
        "temp_directory": str(temporary / "duckdb"),
        "max_temp_directory_size": _DISK,
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "preserve_insertion_order": "false",
    }
    connection = duckdb.connect(":memory:", config=settings)
    quoted = str(folder).replace("'", "''")
    connection.execute(f"SET allowed_directories = ['{quoted}/']")  # a setting takes no parameter
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


class _Child:
    """Takes tasks from the control socket, and watches those that run."""

    def __init__(self, database: Any, temporary: Path, control: socket.socket, kept_seconds: float) -> None:
        self._database = database
        self._temporary = temporary
        self._control = control
        self._kept_seconds = kept_seconds
        self._running: dict[int, Task] = {}
        self._wake, self._woken = socket.socketpair()
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)

    def serve(self) -> None:
        while True:
            for descriptor, _ in (ready := self._poll.poll(self._wait_ms())):
                if descriptor == self._control.fileno():
                    if not self._accept():
                        return
                elif descriptor == self._woken.fileno():
                    self._forget_finished()
                elif descriptor in self._running:
                    self._poll.unregister(descriptor)  # it would wake again and again
                    self._running[descriptor].stop("unavailable", "The client has gone.")
            self._stop_late()
            if not ready and not self._running:
                return

    def _wait_ms(self) -> float:
        if not self._running:
            return self._kept_seconds * 1000
        if any(task.stopped for task in self._running.values()):
            return _STOP_AGAIN * 1000
        next_deadline = min(task.deadline for task in self._running.values())
        return max(1.0, (next_deadline - time.monotonic()) * 1000)

    def _accept(self) -> bool:
        """Take one task. False: the parent has gone."""
        mark, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        if not mark:
            return False
        for descriptor in descriptors:
            connection = socket.socket(fileno=descriptor)
            task = Task(self._database.cursor(), connection, self._temporary)
            self._running[descriptor] = task
            self._poll.register(descriptor, 0)  # hang-ups alone
            threading.Thread(target=self._work, args=(task, descriptor), daemon=True).start()
        return True

    def _work(self, task: Task, descriptor: int) -> None:
        try:
            _run(task, self._look_at_deadlines)
        finally:
            self._wake.send(descriptor.to_bytes(4, "big"))

    def _look_at_deadlines(self) -> None:
        self._wake.send(_NONE.to_bytes(4, "big"))

    def _forget_finished(self) -> None:
        descriptor = int.from_bytes(self._woken.recv(4, socket.MSG_WAITALL), "big")
        if descriptor == _NONE:  # only a deadline has changed
            return
        with suppress(KeyError):
            self._poll.unregister(descriptor)
        self._running.pop(descriptor).finish()

    def _stop_late(self) -> None:
        now = time.monotonic()
        for task in self._running.values():
            if task.stopped or task.deadline <= now:
                task.stop("timeout", TOO_LONG)


def _run(task: Task, begun: Callable[[], None]) -> None:
    """Run a task, and send its answer, an error among them, and the empty line that ends it."""
    try:
        task.read()
        begun()
        for answer in TASKS[task.name](task):
            task.send(answer)
    except OSError:  # the parent has gone
        return
    except Exception as error:  # noqa: BLE001 - whatever it is, the one who asked has to know
        failure = _explain(error, task)
        with suppress(OSError):
            task.send_end({"error": {"code": failure.code, "detail": failure.detail}})
        return
    with suppress(OSError):
        task.send_end(None)


def _explain(error: Exception, task: Task) -> QueryError:
    """Say what went wrong in words for the one who asked; what is no fault of theirs goes to the log, too."""
    if isinstance(error, QueryError):
        return error
    if task.stopped is not None:
        return task.stopped
    if isinstance(error, duckdb.OutOfMemoryException):
        return QueryError("too_large", "The query needs more memory than it may take. Choose a shorter time.")
    print(f"telemetry store: task {task.name} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    return QueryError("unavailable", FAILED)


if __name__ == "__main__":
    main(*sys.argv[1:])
