"""Keep a site in maintenance across a restore, which replaces the database with the announcement in it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError

from church.backup.archive import BackupError
from church.config import Settings
from church.database.engines import is_sqlite, make_upkeep_engine, sqlite_path
from church.database.maintenance import (
    Announcement,
    copy_file,
    create_table,
    keep_copy,
    read_file,
    read_row_if_any,
    write_row,
)


def find(settings: Settings) -> Announcement | None:
    """Find the announcement for all hosts before the database is replaced, and keep this host's copy of it.

    The copy counts where the database is gone, damaged or older than the table, and after a restore that was broken
    off between the database and the announcement. Raises BackupError.
    """
    announcement = _read_row(settings) or read_file(copy_file(settings))
    try:
        keep_copy(settings, announcement)
    except OSError as error:
        raise BackupError(f"can't write {copy_file(settings)}: {error.strerror}") from error
    return announcement


def keep_in_file(path: Path, announcement: Announcement | None) -> bool:
    """Write the announcement into an SQLite file that no site uses. Return whether it closes the site.

    Raises BackupError.
    """
    return _keep(create_engine(f"sqlite:///{path}", poolclass=NullPool), announcement)


def keep_in_site(settings: Settings, announcement: Announcement | None) -> bool:
    """Write the announcement into the site's own database. Return whether it closes the site. Raises BackupError."""
    return _keep(make_upkeep_engine(settings), announcement)


def _read_row(settings: Settings) -> Announcement | None:
    if is_sqlite(settings) and not sqlite_path(settings).exists():
        return None  # the engine would create the file
    engine = make_upkeep_engine(settings)
    try:
        return read_row_if_any(engine)
    except SQLAlchemyError:
        return None
    finally:
        engine.dispose()


def _keep(engine: Engine, announcement: Announcement | None) -> bool:
    """Write ``announcement``, if there is one; else the backup's own stays, if it has one: a restore opens no site."""
    try:
        with engine.begin() as connection:
            if announcement is not None:
                create_table(connection)
                write_row(connection, announcement)
        return read_row_if_any(engine) is not None
    except SQLAlchemyError as error:
        raise BackupError(
            f"can't keep the site in maintenance: {type(error).__name__}; stop it, and restore again"
        ) from error
    finally:
        engine.dispose()
