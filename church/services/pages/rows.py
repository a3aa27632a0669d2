"""Rows about the pages of one content folder, in a small SQLite file of the host: what lists and look-ups need.

The text stays in the files. Any process reads; who brings the rows up to date holds the ``lock``. Without a file
that can be written, such as in a read-only instance, the rows are in memory, of this process alone.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from church.lib.threads import allocate_lock

_FORMAT = 1  # of the tables: rows of another one are made anew
_WAIT = 5.0  # seconds for another process that writes
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE folders (
    place BLOB PRIMARY KEY, parent BLOB NOT NULL, mtime_ns INTEGER, size INTEGER, ctime_ns INTEGER, inode INTEGER,
    pictures TEXT NOT NULL, leads_to BLOB NOT NULL, changed REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE files (
    id INTEGER PRIMARY KEY, place BLOB NOT NULL UNIQUE, folder BLOB NOT NULL,
    mtime_ns INTEGER, size INTEGER, ctime_ns INTEGER, inode INTEGER,
    state INTEGER NOT NULL DEFAULT 0, age INTEGER, slug TEXT, access TEXT, draft INTEGER, to_come INTEGER,
    problem TEXT, clash TEXT, title TEXT, summary TEXT, updated INTEGER, tags TEXT, minutes INTEGER, opens INTEGER,
    day INTEGER, digest TEXT, changed REAL NOT NULL, turns_at REAL, picture_lines TEXT,
    rendered TEXT, notices TEXT
);
CREATE INDEX files_folder ON files (folder);
CREATE INDEX files_slug ON files (slug, place);
CREATE INDEX files_order ON files (state, age, slug);
CREATE INDEX files_access ON files (access, state, draft, age, slug);
CREATE INDEX files_changed ON files (changed);
CREATE INDEX files_turns ON files (turns_at) WHERE turns_at IS NOT NULL;
CREATE INDEX files_opens ON files (opens) WHERE state = 2 AND to_come = 1;
CREATE INDEX files_problems ON files (place) WHERE problem IS NOT NULL OR clash IS NOT NULL;
CREATE INDEX files_notices ON files (place) WHERE notices IS NOT NULL;
CREATE INDEX files_unrendered ON files (id) WHERE picture_lines IS NOT NULL AND rendered IS NOT digest;
CREATE TABLE tags (
    name TEXT, state INTEGER, age INTEGER, slug TEXT, file INTEGER NOT NULL, PRIMARY KEY (name, state, age, slug)
) WITHOUT ROWID;
CREATE INDEX tags_file ON tags (file);
CREATE TABLE tag_counts (name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE pictures (
    path TEXT, file INTEGER, mtime_ns INTEGER, size INTEGER, PRIMARY KEY (path, file)
) WITHOUT ROWID;
CREATE INDEX pictures_file ON pictures (file);
"""


def place_of(path: str) -> bytes:
    """Return the path as rows have it: ordered as a walk meets the files, folder by folder."""
    return os.fsencode(path).replace(b"/", b"\0")


def path_at(place: bytes) -> str:
    """Return the path of a row."""
    return os.fsdecode(place.replace(b"\0", b"/"))


class PageRows:
    """The rows in ``file``, which is made when it is first needed."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._lock: Any = allocate_lock()  # the operating system's: pool threads take it too
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] = (0, 0)  # process, and inode of the file
        self._inherited: list[sqlite3.Connection] = []
        self.is_shared = file is not None

    def read(self, statement: str, *values: object) -> list[Any]:
        """Read rows; takes microseconds for those by an index."""
        with self._lock:
            return self._open().execute(statement, values).fetchall()

    def apart(self) -> PageRows:
        """Return these rows over a connection of their own, so that nothing waits for what is read by it."""
        with self._lock:
            self._open()
        return PageRows(self._file) if self.is_shared else self

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction. Waits for the disk, and up to 5 s for another process: call it off the hub."""
        with self._lock:
            connection = self._open()
        if self.is_shared and self._file is not None:
            connection = _connect(self._file)
            try:
                with _transaction(connection):
                    yield connection
            finally:
                connection.close()
            return
        with self._lock, _transaction(connection):
            yield connection

    def copy_from(self, file: Path) -> bool:
        """Copy the rows of ``file`` into these, which are in memory. Returns whether there were any."""
        if not file.is_file():
            return False
        with self._lock, suppress(sqlite3.Error):
            source = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
            try:
                if source.execute("PRAGMA user_version").fetchone() == (_FORMAT,):
                    source.backup(self._open())
                    return True
            finally:
                source.close()
        return False

    @contextmanager
    def lock(self, suffix: str = ".lock", *, wait: bool = False) -> Iterator[bool]:
        """Whether this process has the lock of this name; no other of the host has it in the meantime."""
        if not self.is_shared or self._file is None:
            yield True
            return
        try:
            handle = os.open(self._file.with_suffix(suffix), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            yield False
            return
        try:
            is_ours = True
            try:
                fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                is_ours = False
            yield is_ours
        finally:
            os.close(handle)

    def check_file(self) -> None:
        """Open the file anew if another one is in its place."""
        if self.is_shared and self._file is not None and self._connection is not None:
            with suppress(OSError):
                if os.stat(self._file).st_ino != self._opened[1]:
                    self.forget()

    def forget(self) -> None:
        """Close the connection; the next use opens the file again."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None and self._opened[0] == os.getpid():
            connection.close()

    def close(self) -> None:
        """Close the file before a fork: SQLite in a child would take the locks of its parent for its own."""
        if self.is_shared:
            self.forget()

    def remove_damaged(self) -> None:
        """Remove the file, whose rows cannot be read, so that they are made anew."""
        self.forget()
        if self._file is not None:
            for suffix in ("", "-wal", "-shm"):
                self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and (self._opened[0] == os.getpid() or not self.is_shared):
            return self._connection
        if self._connection is not None:  # of the process before the fork, which must not be closed here
            self._inherited.append(self._connection)
        self._connection = self._open_file() if self.is_shared and self._file is not None else None
        if self._connection is None:
            self.is_shared = False
            self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            self._connection.executescript(_TABLES)
        return self._connection

    def _open_file(self) -> sqlite3.Connection | None:
        file = self._file
        if file is None or not os.access(file.parent, os.W_OK):
            return None
        try:
            connection = _connect(file)
        except sqlite3.OperationalError:  # no such folder, or a file that this user may not write
            return None
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                file.with_name(file.name + suffix).unlink(missing_ok=True)
            connection = _connect(file)
        self._opened = os.getpid(), os.stat(file).st_ino
        return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=_WAIT, isolation_level=None, check_same_thread=False)
    try:
        if connection.execute("PRAGMA user_version").fetchone() != (_FORMAT,):
            _make_tables(connection)
            file.chmod(0o600)
        connection.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _make_tables(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    with _transaction(connection):
        if connection.execute("PRAGMA user_version").fetchone() == (_FORMAT,):
            return  # another process was faster
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            connection.execute(f'DROP TABLE "{name}"')
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={_FORMAT}")


def join_paths(paths: Iterable[str]) -> bytes:
    """Return several paths as a row has them: names of files may be no text."""
    return b"\0".join(map(os.fsencode, sorted(paths)))


def split_paths(joined: bytes) -> list[str]:
    """Return the paths of a row."""
    return [os.fsdecode(path) for path in joined.split(b"\0") if path]


def marks(values: Sequence[object]) -> str:
    """Return placeholders for ``values`` in a statement."""
    return ", ".join("?" * len(values))
