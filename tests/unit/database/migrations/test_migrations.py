"""Migrations of an SQLite database: up, down, and the lock between processes."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

from church.config import ConfigError, Settings
from church.database import migrations
from church.database.engines import make_probe_engine, sqlite_path
from church.database.errors import LaterSchemaError
from tests.support.helpers import with_settings
from tests.support.services_fixture import site_settings


def revision(site: Settings) -> str | None:
    """The revision of the database of ``site``."""
    engine = make_probe_engine(site)
    try:
        with engine.connect() as connection:
            return migrations.current_revision(connection)
    finally:
        engine.dispose()


def test_migrate_creates_a_missing_database_up_to_a_revision(tmp_path: Path) -> None:
    new = site_settings(tmp_path)
    migrations.migrate(new, "0001")
    assert revision(new) == "0001"


def test_migrate_chooses_the_names_of_log_fields_before_there_is_a_database(tmp_path: Path) -> None:
    """So that a new site is not taken for one with a past."""
    site = site_settings(tmp_path)
    new, old = (with_settings(site, instance=tmp_path / name) for name in ("new", "old"))
    old.instance.mkdir()
    sqlite_path(old).touch()
    for one in (new, old):
        migrations.migrate(one, "0001")
    assert (new.log_scheme, old.log_scheme) == ("otel", "plain")


def test_migrate_creates_no_production_site_without_https(tmp_path: Path) -> None:
    new = with_settings(site_settings(tmp_path), environment="production", site_url="http://church.example")
    for _ in range(2):  # an empty file, left by the first try, is still no site
        with pytest.raises(ConfigError, match="CHURCH_ALLOW_HTTP"):
            migrations.migrate(new)
    migrations.migrate(with_settings(new, allow_http=True))
    assert revision(new) == migrations.head_revision()


def test_migrate_upgrades_an_existing_production_site_without_https(site: Settings) -> None:
    migrations.downgrade(site, "0005")
    migrations.migrate(with_settings(site, environment="production", site_url="http://church.example"))
    assert revision(site) == migrations.head_revision()


def test_migrate_at_head_changes_nothing(site: Settings) -> None:
    migrations.migrate(site)
    assert revision(site) == migrations.head_revision()


def test_migrate_leaves_the_database_of_a_later_release_and_says_what_to_do(site: Settings) -> None:
    with migrations.locked_connection(site) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LaterSchemaError, match=f"revision 9999.*downgrade {migrations.head_revision()}"):
        migrations.migrate(site)
    assert revision(site) == "9999"


def test_downgrade_goes_back_to_a_revision(site: Settings) -> None:
    migrations.downgrade(site, "0005")
    assert revision(site) == "0005"


def test_revision_before_the_first_migration_is_none(tmp_path: Path) -> None:
    new = site_settings(tmp_path)
    with migrations.locked_connection(new) as connection:
        assert migrations.current_revision(connection) is None


def test_known_revisions_by_file_names_are_one_line_up_to_the_head(tmp_path: Path) -> None:
    with migrations.locked_connection(site_settings(tmp_path)) as connection:
        scripts = ScriptDirectory.from_config(migrations.alembic_config(connection))
    walked = [script.revision for script in scripts.walk_revisions()]
    assert walked == sorted(migrations.known_revisions(), reverse=True)
    assert scripts.get_heads() == [migrations.head_revision()]


def test_connection_is_locked_and_rolled_back_by_an_error(site: Settings) -> None:
    lock = sqlite_path(site).with_suffix(".migrate-lock")
    with pytest.raises(ZeroDivisionError), migrations.locked_connection(site) as connection:  # noqa: PT012 (a transaction)
        connection.execute(text("UPDATE alembic_version SET version_num = 'lost'"))
        with lock.open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        raise ZeroDivisionError
    assert revision(site) == migrations.head_revision()
