"""SQLite's part of a backup: a snapshot while the site writes, and its return."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from church.backup.archive import BackupError
from church.config import Settings
from church.database.engines import sqlite_path

MEMBER = "database.sqlite"
_BUSY_WAIT = 10.0


def snapshot(settings: Settings, target: Path) -> None:
    """Write the database as it is at one moment to ``target``; writers go on meanwhile."""
    source = sqlite_path(settings)
    try:
        with closing(_open(source)) as connection:
            connection.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        raise BackupError(f"{source} can't be copied: {error}") from error
    check(target)


def check(path: Path) -> None:
    """Raises BackupError unless SQLite finds the file whole."""
    try:
        with closing(_open(path)) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise BackupError(f"the copy of the database is damaged: {found}")


def revision(path: Path) -> str | None:
    """The revision of the database in a file; None before its first migration."""
    with closing(_open(path)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return None
    return str(row[0]) if row else None


def check_target(settings: Settings, *, force: bool) -> None:
    """Raises BackupError while the site has it open, or when it holds something and ``force`` is not given."""
    target = sqlite_path(settings)
    if target.exists():
        with _exclusive(target, force=force):
            pass


def replace(settings: Settings, source: Path, *, force: bool, stamp: str) -> Path | None:
    """Put ``source`` (on the same disk) in the place of the database; where the old one is kept, if there was one."""
    target = sqlite_path(settings)
    if not target.exists():
        os.replace(source, target)
        return None
    kept = target.with_name(f"{target.name}.before-restore-{stamp}")
    with _exclusive(target, force=force):
        # Nobody else has it open now. A crash between the two leaves both files, with names that say which is which.
        os.replace(target, kept)
        os.replace(source, target)
    return kept


@contextmanager
def _exclusive(path: Path, *, force: bool) -> Iterator[None]:
    """Hold the database alone, with its write-ahead log folded in: a log left behind would ruin the new file."""
    with closing(_open(path, wait=1.0)) as connection:
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("BEGIN EXCLUSIVE")
            tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        except sqlite3.OperationalError as error:
            raise BackupError(f"{path} is in use ({error}): stop the site first, web and worker process") from error
        except sqlite3.DatabaseError as error:
            raise BackupError(f"{path} is damaged ({error}): move it and its -wal and -shm away first") from error
        if tables and not force:
            raise BackupError(f"{path} holds a site already: restore with force to replace it (it is kept aside)")
        yield


def _open(path: Path, wait: float = _BUSY_WAIT) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=wait, isolation_level=None)
