"""Backup and restore of an SQLite file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from church.backup import sqlite
from church.backup.archive import BackupError
from church.config import Settings
from church.database.engines import sqlite_path
from church.database.migrations import head_revision


def words(path: Path) -> list[str]:
    """What a database has in its table of words."""
    with closing(sqlite3.connect(path)) as connection:
        return [word for (word,) in connection.execute("SELECT word FROM kept")]


def test_snapshot_has_only_what_is_committed(site: Settings, tmp_path: Path) -> None:
    with closing(sqlite3.connect(sqlite_path(site), isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO kept VALUES ('not yet')")
        sqlite.write_snapshot(site, tmp_path / "copy")
    assert words(tmp_path / "copy") == ["before"]
    assert sqlite.read_revision(tmp_path / "copy") == head_revision()


def test_snapshot_of_a_missing_database_is_refused(site: Settings, tmp_path: Path) -> None:
    sqlite_path(site).unlink()
    with pytest.raises(BackupError, match="can't copy"):
        sqlite.write_snapshot(site, tmp_path / "copy")


def test_damaged_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no database " * 100)
    with pytest.raises(BackupError, match="damaged"):
        sqlite.check_integrity(tmp_path / "file")


def test_revision_before_the_first_migration_is_none(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "new")) as connection:
        connection.execute("CREATE TABLE any (n)")
    assert sqlite.read_revision(tmp_path / "new") is None


def test_target_in_use_or_not_empty_is_refused(site: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite._open
    monkeypatch.setattr(sqlite, "_open", lambda path, wait=0.0: connect(path, min(wait, 0.01)))
    with pytest.raises(BackupError, match="not empty: use --force"):
        sqlite.check_target(site, force=False)
    sqlite.check_target(site, force=True)
    with closing(sqlite3.connect(sqlite_path(site), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM kept").fetchall()
        with pytest.raises(BackupError, match="is in use"):
            sqlite.check_target(site, force=True)


def test_replaced_database_is_kept(site: Settings, tmp_path: Path) -> None:
    sqlite.write_snapshot(site, tmp_path / "copy")
    with closing(sqlite3.connect(sqlite_path(site))) as connection, connection:
        connection.execute("UPDATE kept SET word = 'after'")
    kept = sqlite.replace(site, tmp_path / "copy", force=True, stamp="now")
    assert kept is not None
    assert (words(kept), words(sqlite_path(site))) == (["after"], ["before"])


def test_replacing_a_missing_database_keeps_nothing(site: Settings, tmp_path: Path) -> None:
    sqlite_path(site).rename(tmp_path / "copy")
    assert sqlite.replace(site, tmp_path / "copy", force=False, stamp="now") is None
    assert words(sqlite_path(site)) == ["before"]
