"""A stopped site on SQLite, with one page and one text in the database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from church.config import Settings
from church.database.engines import sqlite_path
from tests.support.services_fixture import sqlite_site


@pytest.fixture
def site(tmp_path: Path, migrated_file: Path) -> Settings:
    """Settings of the site."""
    settings = sqlite_site(tmp_path, migrated_file)
    (settings.content / "page.md").write_text("# Kept")
    with closing(sqlite3.connect(sqlite_path(settings))) as connection, connection:
        connection.execute("CREATE TABLE kept (word TEXT)")
        connection.execute("INSERT INTO kept VALUES ('before')")
    return settings
