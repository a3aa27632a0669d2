"""Back up and restore a PostgreSQL database with pg_dump and pg_restore, past a pooler.

No password is on a command line.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from church.backup.archive import BackupError
from church.config import Settings
from church.database import member_index, migrations
from church.database.engines import make_upkeep_engine

MEMBER_NAME = "database.pgdump"
_TIMEOUT = 3600  # seconds
_POOLED = (
    "DATABASE_URL is the address of a connection pooler: set CHURCH_DATABASE_DIRECT_URL to PostgreSQL's own address. "
    "pg_dump changes settings of its connection, which the pooler would give to the site"
)
_IN_USE = (
    "the site is connected to the database: stop its web and worker processes first, then PAUSE the database in "
    "PgBouncer's console if there is one"
)
_UNREACHABLE = "can't reach the database: check DATABASE_URL, and that PostgreSQL runs"


def write_snapshot(settings: Settings, target: Path) -> None:
    """Write a consistent snapshot of the database to ``target``. The site can keep writing."""
    _run(settings, "pg_dump", "-Fc", "--no-owner", "--no-privileges", "-f", str(target))


def read_revision(settings: Settings) -> str | None:
    """Return the database's migration revision; None before the first migration."""
    engine = make_upkeep_engine(settings)
    try:
        with engine.connect() as connection:
            _refuse_pooler(connection)
            return migrations.current_revision(connection)
    except SQLAlchemyError as error:
        raise BackupError(_UNREACHABLE) from error
    finally:
        engine.dispose()


def check_target(settings: Settings, *, force: bool) -> None:
    """Raise BackupError while the site is connected, or if the database has tables and ``force`` is false."""
    if _has_tables(settings) and not force:
        raise BackupError("the database is not empty: use --force to replace it (the old data is kept)")


def replace(settings: Settings, source: Path, wanted: str | None, *, stamp: str) -> Path | None:
    """Replace the database with the dump ``source``, of revision ``wanted``. Return a dump of the old data, if any."""
    kept = None
    if _has_tables(settings):
        kept = settings.instance / f"database.before-restore-{stamp}.pgdump"
        write_snapshot(settings, kept)
        kept.chmod(0o600)
        _drop_newer(settings, wanted)
    options = ("--clean", "--if-exists", "--single-transaction", "--no-owner", "--no-privileges")
    with tempfile.NamedTemporaryFile("w", suffix=".list") as contents:
        contents.write(_list_contents(settings, source))
        contents.flush()
        _run(settings, "pg_restore", *options, "--use-list", contents.name, str(source))
    _make_member_index(settings)
    return kept


def _list_contents(settings: Settings, source: Path) -> str:
    """List what to restore of a dump: not the extension and its index.

    The database may not let its owner replace an extension that is there, and the server may not have it at all.
    """
    entries = _run(settings, "pg_restore", "--list", str(source), connect=False)
    left_out = (" EXTENSION ", f" INDEX public {member_index.NAME} ")
    return "".join(line for line in entries.splitlines(keepends=True) if not any(one in line for one in left_out))


def _make_member_index(settings: Settings) -> None:
    """Make the index that was left out, if the restored database is new enough for it. Migrating an older one does."""
    with migrations.locked_connection(settings) as connection:
        if migrations.current_revision(connection) == migrations.head_revision():
            member_index.ensure_index(connection)


def _has_tables(settings: Settings) -> bool:
    """Tell whether the database has tables. Raises BackupError while the site is connected."""
    engine = make_upkeep_engine(settings)
    site_connections = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'church'"
        " AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    try:
        with engine.connect() as connection:
            _refuse_pooler(connection)
            if connection.scalar(text(site_connections)):
                raise BackupError(_IN_USE)
            return bool(inspect(connection).get_table_names())
    except SQLAlchemyError as error:
        raise BackupError(_UNREACHABLE) from error
    finally:
        engine.dispose()


def _refuse_pooler(connection: Connection) -> None:
    """Raise BackupError for a pooler: the process that it names at the start is not the one that answers."""
    driver = connection.connection.driver_connection
    if driver is not None and driver.info.backend_pid != connection.scalar(text("SELECT pg_backend_pid()")):
        raise BackupError(_POOLED)


def _drop_newer(settings: Settings, wanted: str | None) -> None:
    """Remove tables that are newer than the backup: pg_restore would leave them in place."""
    current = read_revision(settings)
    if current is None or current == wanted:
        return
    if current not in migrations.known_revisions():
        raise BackupError(
            f"the database is at revision {current}, which is newer than this code: restore into a new one"
        )
    migrations.downgrade(settings, wanted or "base")


def _run(settings: Settings, program: str, *arguments: str, connect: bool = True) -> str:
    """Run one of PostgreSQL's programs, on the site's database if it shall ``connect``, and return what it prints."""
    engine = make_upkeep_engine(settings)
    options = dict(engine.dialect.create_connect_args(make_url(settings.database_direct_dsn))[1])
    password = options.pop("password", None)
    options.pop("context", None)  # an option of psycopg, not of libpq
    options.update(connect_timeout=5, application_name="church-backup")
    connection = make_conninfo(**options)
    environment = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
    command = [_find(program), *(("--no-password", "-d", connection) if connect else ()), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 (no shell, arguments of our own)
            command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BackupError(f"{program} did not finish within {_TIMEOUT // 60} minutes") from error
    if done.returncode != 0:
        raise BackupError(f"{program} failed: {done.stderr.strip()[:500]}")
    return done.stdout


def _find(program: str) -> str:
    """Return the path of the newest ``program``: an older pg_dump refuses a newer server."""
    installed = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]), reverse=True)
    path = shutil.which(program, path=os.pathsep.join([*installed, os.environ.get("PATH", "")]))
    if path is None:
        raise BackupError(f"{program} is missing: install PostgreSQL's client programs (Debian: postgresql-client)")
    return path
