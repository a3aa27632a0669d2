"""A task in the engine's child: what the parent sent, a DuckDB connection, and whether it should stop."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from church.telemetry_store.query_error import Code, QueryError
from church.telemetry_store.tables import TABLES, Table

MOST_BYTES = 8 * 2**20
"""Bytes of an answer."""
TOO_MUCH = "The answer is larger than 8 MB. Ask for fewer rows or a shorter time."


class UnreadableError(Exception):
    """A statement failed: a file that it reads is missing or damaged, or the statement is wrong."""


class Task:
    """A task; ``read`` takes it from the parent. Its answer goes out by ``send``."""

    def __init__(self, connection: Any, parent: socket.socket, folder: Path) -> None:
        self.connection = connection
        self.args: dict[str, Any] = {}
        self.name = ""
        self.tables: tuple[str, ...] = ()
        self.deadline = time.monotonic() + 60  # until the parent has sent it all
        self._parent = parent
        self._folder = folder
        self._stopped: QueryError | None = None
        self._done = threading.Event()
        self._sent = 0

    def read(self) -> None:
        """Read the task, and load its rows into the temporary tables ``recent_<name>``."""
        with self._parent.makefile("rb") as incoming:
            begin = json.loads(incoming.readline())
            self.name, self.args, self.tables = begin["task"], begin["args"], tuple(begin["tables"])
            for table in self.tables:
                self._load_rows(TABLES[table], incoming)
        self.deadline = time.monotonic() + begin["seconds"]
        self._parent.sendall(b"\n")

    def _load_rows(self, table: Table, incoming: BinaryIO) -> None:
        path = self._folder / f"{table.name}-{id(self)}.json"
        types = ", ".join(f"'{column.name}': '{column.type}'" for column in table.columns)
        source = f"read_json(?, format='newline_delimited', columns={{{types}}})"
        try:
            with path.open("wb") as file:
                while (line := incoming.readline()) != b"\n":
                    if not line:
                        raise ConnectionResetError("the parent has gone")
                    file.write(line)
                empty = not file.tell()
            columns = ", ".join(f"{column.name} {column.type}" for column in table.columns)
            self.connection.execute(f"CREATE TEMP TABLE recent_{table.name} ({columns})")
            if not empty:
                statement = f"INSERT INTO recent_{table.name} SELECT * FROM {source}"  # noqa: S608 - names of ours
                self.connection.execute(statement, [str(path)])
        finally:
            with suppress(FileNotFoundError):
                path.unlink()

    def send(self, answer: dict[str, Any]) -> None:
        """Send a part of the answer. Raises QueryError at the most bytes, OSError if the parent has gone."""
        line = json.dumps(answer, separators=(",", ":"), default=str).encode() + b"\n"
        self._sent += len(line)
        if self._sent > MOST_BYTES:
            raise QueryError("too_large", TOO_MUCH)
        self._parent.sendall(line)

    def send_end(self, answer: dict[str, Any] | None) -> None:
        """Send the last line, if there is one, and the mark of the end."""
        line = b"" if answer is None else json.dumps(answer).encode() + b"\n"
        self._parent.sendall(line + b"\n")

    def fetch(self, statement: str, values: list[Any]) -> list[dict[str, Any]]:
        """Run a statement and return its rows. Raises QueryError if the task was stopped, or UnreadableError."""
        import duckdb  # noqa: PLC0415 - the parent imports this module, too

        if self._stopped is not None:
            raise self._stopped
        try:
            rows = self.connection.execute(statement, values).fetchall()
        except duckdb.InterruptException:
            if self._stopped is not None:
                raise self._stopped from None
            raise
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:  # DuckDB has many names for what is wrong with a file
            raise UnreadableError(str(error)) from error
        names = [column[0] for column in self.connection.description or ()]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def stop(self, code: Code, detail: str) -> None:
        """Let the task end with this error. May be called again, and from another thread."""
        if self._stopped is None:
            self._stopped = QueryError(code, detail)
        if not self._done.is_set():
            with suppress(Exception):  # the connection may just be closing
                self.connection.interrupt()

    @property
    def stopped(self) -> QueryError | None:
        """Why the task has to end, if it has to."""
        return self._stopped

    def finish(self) -> None:
        """Close what the task holds."""
        self._done.set()
        with suppress(OSError):
            self._parent.close()
        self.connection.close()
