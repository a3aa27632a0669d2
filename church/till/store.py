"""The till's database: objects as JSON, the operator's knobs, replies to repeated calls, and deliveries.

One SQLite file and one connection. Transactions are short and never wait, so requests are served one after another.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Obj = dict[str, Any]

_TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS objects_of_type ON objects (type, seq);
CREATE TABLE IF NOT EXISTS knobs (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL,
    request TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'pending',
    attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL, answer TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS deliveries_to_make ON deliveries (state, id);
"""


_BLOCK = 200  # objects that are read at once: a page of a list wants a hundred
_BELOW = " AND seq < (SELECT seq FROM objects WHERE id = ?)"
_ABOVE = " AND seq > (SELECT seq FROM objects WHERE id = ?)"


class Store:
    """The database file. Read and write only inside ``transaction``."""

    def __init__(self, path: Path | str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        self._db.executescript(_TABLES)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all of the block, or nothing if it raises."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def put(self, obj: Obj) -> None:
        """Store a new object, or update a stored one."""
        self._db.execute(
            "INSERT INTO objects (id, type, body) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (obj["id"], obj["object"], json.dumps(obj)),
        )

    def get(self, identity: str, kind: str | None = None) -> Obj | None:
        """Return the object with this id, or None. With ``kind``, only an object of that kind."""
        row = self._db.execute("SELECT body, type FROM objects WHERE id = ?", (identity,)).fetchone()
        if row is None or kind not in {None, row[1]}:
            return None
        obj: Obj = json.loads(row[0])
        return obj

    def all(self, kind: str, after: str | None = None, before: str | None = None, **equal: Any) -> Iterator[Obj]:
        """Yield objects of ``kind`` whose fields equal ``equal``, newest first; ``after`` and ``before`` are ids.

        A name with ``__`` is a field of a nested object. With ``before`` the oldest is first.
        """
        query, values = "SELECT seq, body FROM objects WHERE type = ?", [kind]
        for name, value in equal.items():
            query += " AND json_extract(body, ?) = ?"
            values += [f"$.{name.replace('__', '.')}", value]
        for condition, identity in ((_BELOW, after), (_ABOVE, before)):
            if identity is not None:
                query += condition
                values.append(identity)
        beyond, order, last = ("<", "DESC", sys.maxsize) if before is None else (">", "ASC", 0)
        query += f" AND seq {beyond} ? ORDER BY seq {order} LIMIT {_BLOCK}"
        while rows := self._db.execute(query, [*values, last]).fetchall():
            yield from (json.loads(body) for _, body in rows)
            last = rows[-1][0]

    def get_knob(self, name: str, default: str = "") -> str:
        """Return the value of one of the operator's knobs."""
        row = self._db.execute("SELECT value FROM knobs WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else default

    def set_knob(self, name: str, value: str) -> None:
        """Set a knob."""
        self._db.execute("INSERT OR REPLACE INTO knobs (name, value) VALUES (?, ?)", (name, value))

    def execute(self, query: str, *values: Any) -> list[Any]:
        """Run a statement on the other tables, for the module that uses them, and return the rows."""
        return self._db.execute(query, values).fetchall()
