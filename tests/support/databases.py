"""Migrated databases for tests, copied from a template."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from church.config import Settings, load_settings
from church.database.engines import is_sqlite, sqlite_path
from church.database.migrations import migrate
from church.lib.files import make_private


@cache
def migrated_file() -> Path:
    """A migrated SQLite database to copy, created once per process."""
    folder = Path(tempfile.mkdtemp(prefix="church-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    site = load_settings(_env_file=None, DATABASE_URL=None, CHURCH_INSTANCE=folder, CHURCH_LOG_DIR=folder)
    migrate(site)
    return sqlite_path(site)


def bring_to_head(site: Settings) -> None:
    """Migrate the database of ``site``. A new SQLite file is copied, which takes a hundredth of the time."""
    if not is_sqlite(site) or sqlite_path(site).exists():
        migrate(site)
    else:
        copy_database(migrated_file(), site)


def copy_database(migrated: Path, site: Settings) -> None:
    """Give ``site`` a copy of the database ``migrated``."""
    make_private(site.instance)
    _ = site.log_scheme  # as a migration does: a new site has OpenTelemetry's names
    shutil.copy(migrated, sqlite_path(site))
