"""Databases for tests that do not care how they were made."""

from __future__ import annotations

import shutil
from pathlib import Path

from church.config import Settings
from church.engines import sqlite_path
from church.folders import make_private


def copy_database(migrated: Path, site: Settings) -> None:
    """Give ``site`` a database at the head without migrating one."""
    make_private(site.instance)
    shutil.copy(migrated, sqlite_path(site))
