"""PostgreSQL's part of a backup: pg_dump and pg_restore, the password never on a command line."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy import inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from church.backup.archive import BackupError
from church.config import Settings
from church.database import migrations
from church.database.engines import upkeep_engine

MEMBER = "database.pgdump"
_TIMEOUT = 3600


def snapshot(settings: Settings, target: Path) -> None:
    """Write the database as it is at one moment to ``target``; writers go on meanwhile."""
    _run(settings, "pg_dump", "-Fc", "--no-owner", "--no-privileges", "-f", str(target))


def revision(settings: Settings) -> str | None:
    """The revision of the database; None before its first migration."""
    engine = upkeep_engine(settings)
    try:
        with engine.connect() as connection:
            return migrations.current(connection)
    except SQLAlchemyError as error:
        raise BackupError("the database can't be reached: look at DATABASE_URL and whether PostgreSQL runs") from error
    finally:
        engine.dispose()


def check_target(settings: Settings, *, force: bool) -> None:
    """Raises BackupError while the site is connected, or when the database has tables and ``force`` is not given."""
    if _is_filled(settings) and not force:
        raise BackupError("the database holds a site already: restore with force to replace it (it is kept aside)")


def replace(settings: Settings, source: Path, wanted: str | None, *, stamp: str) -> Path | None:
    """Put the dump ``source`` in the place of the database; the dump of the old one, if it held anything."""
    kept = None
    if _is_filled(settings):
        kept = settings.instance / f"database.before-restore-{stamp}.pgdump"
        snapshot(settings, kept)
        kept.chmod(0o600)
        _drop_newer(settings, wanted)
    options = ("--clean", "--if-exists", "--single-transaction", "--no-owner", "--no-privileges")
    _run(settings, "pg_restore", *options, str(source))
    return kept


def _is_filled(settings: Settings) -> bool:
    """Whether there are tables. Raises BackupError while the site is connected."""
    engine = upkeep_engine(settings)
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'church'"
        " AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    try:
        with engine.connect() as connection:
            if connection.scalar(text(others)):
                raise BackupError("the site is connected to the database: stop it first, web and worker processes")
            return bool(inspect(connection).get_table_names())
    except SQLAlchemyError as error:
        raise BackupError("the database can't be reached: look at DATABASE_URL and whether PostgreSQL runs") from error
    finally:
        engine.dispose()


def _drop_newer(settings: Settings, wanted: str | None) -> None:
    """Take tables away that came after the backup, which pg_restore does not know and would leave in the way."""
    found = revision(settings)
    if found is None or found == wanted:
        return
    if found not in migrations.known_revisions():
        raise BackupError(f"the database is at revision {found}, which is newer than this code: restore into a new one")
    migrations.downgrade(settings, wanted or "base")


def _run(settings: Settings, program: str, *arguments: str) -> None:
    engine = upkeep_engine(settings)
    found = dict(engine.dialect.create_connect_args(make_url(settings.database_dsn))[1])
    password = found.pop("password", None)
    found.pop("context", None)  # psycopg's own, not libpq's
    found.update(connect_timeout=5, application_name="church-backup")
    connection = make_conninfo(**found)
    environment = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
    command = [_find(program), "--no-password", "-d", connection, *arguments]
    try:
        done = subprocess.run(  # noqa: S603 (no shell, arguments of our own)
            command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BackupError(f"{program} was not ready within {_TIMEOUT // 60} minutes") from error
    if done.returncode != 0:
        raise BackupError(f"{program} failed: {done.stderr.strip()[:500]}")


def _find(program: str) -> str:
    """The newest program of that name: an older pg_dump refuses a newer server."""
    installed = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]), reverse=True)
    found = shutil.which(program, path=os.pathsep.join([*installed, os.environ.get("PATH", "")]))
    if found is None:
        raise BackupError(f"{program} is missing: install PostgreSQL's client programs (Debian: postgresql-client)")
    return found
