"""Back up and restore an SQLite database, the backup while the site is writing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from church.backup.archive import BackupError
from church.config import Settings
from church.database.engines import sqlite_path

MEMBER_NAME = "database.sqlite"
_BUSY_WAIT = 10.0  # seconds


def write_snapshot(settings: Settings, target: Path) -> None:
    """Write a consistent snapshot of the database to ``target``. The site can keep writing."""
    source = sqlite_path(settings)
    try:
        with closing(_open(source)) as connection:
            connection.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        raise BackupError(f"can't copy {source}: {error}") from error
    check_integrity(target)


def check_integrity(path: Path) -> None:
    """Raise BackupError unless the file passes SQLite's integrity check."""
    try:
        with closing(_open(path)) as connection:
            result = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        result = str(error)
    if result != "ok":
        raise BackupError(f"the copy of the database is damaged: {result}")


def read_revision(path: Path) -> str | None:
    """Return the migration revision of a database file; None before the first migration."""
    with closing(_open(path)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return None
    return str(row[0]) if row else None


def check_target(settings: Settings, *, force: bool) -> None:
    """Raise BackupError while the site has the database open, or if it has tables and ``force`` is false."""
    target = sqlite_path(settings)
    if target.exists():
        with _exclusive(target, force=force):
            pass


def replace(settings: Settings, source: Path, *, force: bool, stamp: str) -> Path | None:
    """Replace the database with ``source``, on the same disk. Return where the old one is kept, if there was one."""
    target = sqlite_path(settings)
    if not target.exists():
        os.replace(source, target)
        return None
    kept = target.with_name(f"{target.name}.before-restore-{stamp}")
    with _exclusive(target, force=force):
        # No other process has it open now. A crash between the two steps leaves both files, under different names.
        os.replace(target, kept)
        os.replace(source, target)
    return kept


@contextmanager
def _exclusive(path: Path, *, force: bool) -> Iterator[None]:
    """Lock the database and merge its write-ahead log: a log left behind would ruin the new file."""
    with closing(_open(path, wait=1.0)) as connection:
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("BEGIN EXCLUSIVE")
            tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        except sqlite3.OperationalError as error:
            raise BackupError(f"{path} is in use ({error}): stop the site's web and worker processes first") from error
        except sqlite3.DatabaseError as error:
            raise BackupError(f"{path} is damaged ({error}): first move it and its -wal and -shm files away") from error
        if tables and not force:
            raise BackupError(f"{path} is not empty: use --force to replace it (the old data is kept)")
        yield


def _open(path: Path, wait: float = _BUSY_WAIT) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=wait, isolation_level=None)
