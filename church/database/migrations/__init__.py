"""Migrate the database, safely even if many processes start at once.

Alembic is imported by the first migration: web workers ask for the head revision, which the files' names tell.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import uniform
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError

from church.config import Settings, refuse_new_site_without_https
from church.database.engines import make_upkeep_engine, sqlite_path
from church.database.errors import LaterSchemaError, is_locked
from church.database.member_index import ensure_index
from church.lib.files import make_private
from church.models import Base

if TYPE_CHECKING:
    from alembic.config import Config

# Any number that nothing else locks; the same on every host.
_POSTGRESQL_LOCK = 0x436875726368
_LOCK_WAIT = "500ms"
_VACUUM_WAIT = "2s"
_VACUUMED = text("""SELECT relname FROM pg_locks JOIN pg_class ON pg_class.oid = relation
    WHERE granted AND mode = 'ShareUpdateExclusiveLock'""")
_LOCK_TRIES = 100


def migrate(settings: Settings, revision: str = "head") -> None:
    """Upgrade the database to ``revision``, in one transaction. A missing database is created.

    Processes that start at once wait for each other (by a file lock beside SQLite's file, an advisory lock on
    PostgreSQL), and the later ones have nothing left to do. Raises SQLAlchemy's errors, ConfigError if the settings are
    too weak for a new site, and LaterSchemaError.
    """
    from alembic import command  # noqa: PLC0415 - see above

    _ = settings.log_scheme  # chosen before there is a database, by which a site with a past is known
    with locked_connection(settings) as connection:
        current = current_revision(connection)
        if current is None:
            refuse_new_site_without_https(settings)
        elif current not in known_revisions():
            raise LaterSchemaError(
                f"The database is at revision {current}, which this code does not know: run the newer code. "
                f"To stay with this release, run there: flask church downgrade {head_revision()}"
            )
        elif current != head_revision():
            _keep_writers_out(connection)
        command.upgrade(alembic_config(connection), revision)
        if current_revision(connection) == head_revision():
            ensure_index(connection)


def downgrade(settings: Settings, revision: str) -> None:
    """Downgrade the database to ``revision`` (``base``: no tables). Data in newer tables is lost."""
    from alembic import command  # noqa: PLC0415 - see above

    with locked_connection(settings) as connection:
        _keep_writers_out(connection)
        command.downgrade(alembic_config(connection), revision)


def _keep_writers_out(connection: Connection) -> None:
    """Lock all tables of PostgreSQL against writers, at once or not at all: locked one by one, they could deadlock.

    Readers go on. Each try ends before the server looks for deadlocks, after a second, so that no writer fails by it.
    Raises SQLAlchemy's OperationalError if another transaction does not end.
    """
    if connection.dialect.name != "postgresql":
        return
    names = sorted(Base.metadata.tables.keys() & set(inspect(connection).get_table_names()))
    if not names:
        return
    patience = connection.scalar(text("SHOW lock_timeout"))
    for left in reversed(range(_LOCK_TRIES)):
        try:
            with connection.begin_nested():
                _lock(connection, names, _LOCK_WAIT)
            break
        except OperationalError as error:
            if not left or not is_locked(error):
                raise
        _end_vacuums(connection, names)
        time.sleep(uniform(0.1, 0.5))  # noqa: S311 (not a secret)
    connection.execute(text(f"SET LOCAL lock_timeout = '{patience}'"))


def _end_vacuums(connection: Connection, names: list[str]) -> None:
    """Have the server end an autovacuum of these tables: it does so where it finds, after a second, that one waits.

    Locks one table at a time, and no longer than that takes: so nothing can deadlock.
    """
    vacuumed = set(connection.scalars(_VACUUMED)).intersection(names)
    for name in vacuumed:
        try:
            with connection.begin_nested() as block:
                _lock(connection, [name], _VACUUM_WAIT)
                block.rollback()
        except OperationalError as error:
            if not is_locked(error):
                raise


def _lock(connection: Connection, names: list[str], wait: str) -> None:
    quoted = ", ".join(map(connection.dialect.identifier_preparer.quote, names))
    connection.execute(text(f"SET LOCAL lock_timeout = '{wait}'"))
    connection.execute(text(f"LOCK TABLE {quoted} IN SHARE ROW EXCLUSIVE MODE"))


@cache
def head_revision() -> str:
    """The newest revision of this code."""
    return max(known_revisions())


@cache
def known_revisions() -> frozenset[str]:
    """All revisions that this code can upgrade from. Their files are called ``REVISION_words.py``."""
    files = (Path(__file__).parent / "versions").glob("[0-9]*_*.py")
    return frozenset(file.name.partition("_")[0] for file in files)


def current_revision(connection: Connection) -> str | None:
    """The revision of the database; None before the first migration."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def is_migrated(connection: Connection) -> bool:
    """Whether this code can use the schema: its own, or that of a later release, whose migrations only add to it.

    While several hosts are upgraded one after the other, the first of them migrates, and the others go on.
    """
    revision = current_revision(connection)
    return revision == head_revision() or (revision is not None and revision not in known_revisions())


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for a connection that is in a transaction."""
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def locked_connection(settings: Settings) -> Iterator[Connection]:
    """Open a connection in one transaction, with the lock that keeps other migrations out. Commits at the end."""
    engine = make_upkeep_engine(settings)
    try:
        if engine.dialect.name == "sqlite":
            with _file_lock(sqlite_path(settings)), engine.begin() as connection:
                yield connection
        else:
            with engine.begin() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRESQL_LOCK})
                yield connection
    finally:
        engine.dispose()


@contextmanager
def _file_lock(database: Path) -> Iterator[None]:
    make_private(database.parent)
    with database.with_suffix(".migrate-lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
