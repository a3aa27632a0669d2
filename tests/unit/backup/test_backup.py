"""Backup and restore of a whole site."""

from __future__ import annotations

import os
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from church.backup import BackupError, LeftOut, backup, restore, sqlite
from church.backup.pages import copy_pages
from church.config import Settings
from church.database.engines import sqlite_path
from church.database.migrations import head_revision
from tests.support.pictures import make_png
from tests.support.services_fixture import site_settings


def change_word(site: Settings, word: str) -> None:
    """Change the text in the database."""
    with closing(sqlite3.connect(sqlite_path(site))) as connection, connection:
        connection.execute("UPDATE kept SET word = ?", (word,))


def word(path: Path) -> str:
    """The text in a database."""
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("SELECT word FROM kept").fetchone()[0])


def test_restore_brings_database_and_pages_back_and_keeps_the_replaced(site: Settings, tmp_path: Path) -> None:
    manifest = backup(site, tmp_path / "b.tar.gz")
    change_word(site, "after")
    (site.content / "page.md").write_text("# Changed")
    (site.content / "new.md").write_text("# New")
    result = restore(site, tmp_path / "b.tar.gz", force=True)
    assert result.manifest == manifest
    assert (manifest.database, manifest.revision) == ("sqlite", head_revision())
    assert word(sqlite_path(site)) == "before"
    assert {page.name: page.read_text() for page in site.content.iterdir()} == {"page.md": "# Kept"}
    database, pages = result.kept
    assert word(database) == "after"
    assert (pages / "new.md").read_text() == "# New"


def test_restore_brings_the_pictures_beside_the_pages_back(site: Settings, tmp_path: Path) -> None:
    picture = site.content / "trip" / "Bild \u00fc.png"
    picture.parent.mkdir()
    picture.write_bytes(make_png(3, 2))
    backup(site, tmp_path / "b.tar.gz")
    picture.unlink()
    restore(site, tmp_path / "b.tar.gz", force=True)
    assert picture.read_bytes() == make_png(3, 2)


def test_restore_without_force_changes_nothing(site: Settings, tmp_path: Path) -> None:
    backup(site, tmp_path / "b.tar.gz")
    change_word(site, "after")
    (site.content / "page.md").write_text("# Changed")
    with pytest.raises(BackupError, match="use --force"):
        restore(site, tmp_path / "b.tar.gz")
    assert word(sqlite_path(site)) == "after"
    assert (site.content / "page.md").read_text() == "# Changed"
    assert list(site.instance.glob(".church-backup-*")) == []


def test_backup_leaves_out_links_and_the_instance(site: Settings, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (site.content / "link.md").symlink_to(tmp_path / "secret")
    inside = site.model_copy(update={"instance": site.content / "instance"})
    inside.instance.mkdir()
    sqlite_path(site).rename(inside.instance / "church.db")
    backup(inside, tmp_path / "b.tar.gz")
    with tarfile.open(tmp_path / "b.tar.gz") as archive:
        assert archive.getnames() == ["manifest.json", "database.sqlite", "content/page.md"]


def test_backup_names_links_to_themselves_and_folders_without_an_end(site: Settings, tmp_path: Path) -> None:
    (site.content / "loop").symlink_to("loop")
    (site.content / "loop.md").symlink_to("loop.md")
    (site.content / ("d/" * 201)).mkdir(parents=True)
    copied = copy_pages(site.content, tmp_path / "stage", ())
    assert copied.names == ["content/page.md"]
    assert {left.path[:7]: left.reason for left in copied.left_out} == {
        "loop": "a link that leads nowhere",
        "loop.md": "a link that leads nowhere",
        "d/d/d/d": "more than 200 folders within each other",
    }


def test_backup_has_the_pages_that_are_links_within_the_folder(site: Settings, tmp_path: Path) -> None:
    """As Kubernetes lays out a ConfigMap: names at the top lead through ..data to the files of one version."""
    version = site.content / "..2026_11_01"
    (version / "notes").mkdir(parents=True)
    (version / "about.md").write_text("# About")
    os.utime(version / "about.md", (1_700_000_000, 1_700_000_000))
    (version / "notes" / "spring.md").write_text("# Spring")
    (site.content / "..data").symlink_to("..2026_11_01")
    (site.content / "about.md").symlink_to("..data/about.md")
    (site.content / "notes").symlink_to("..data/notes")
    left_out: list[LeftOut] = []
    backup(site, tmp_path / "b.tar.gz", left_out.append)
    restore(site, tmp_path / "b.tar.gz", force=True)
    about = site.content / "about.md"
    assert (about.read_text(), about.is_symlink(), about.stat().st_mtime) == ("# About", False, 1_700_000_000)
    assert (site.content / "notes" / "spring.md").read_text() == "# Spring"
    assert (site.content / "page.md").read_text() == "# Kept"
    assert left_out == []


def test_backup_names_what_it_leaves_out(site: Settings, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.md").write_text("secret")
    inside = site.model_copy(update={"instance": site.content / "instance"})
    inside.instance.mkdir()
    sqlite_path(site).rename(inside.instance / "church.db")
    links = {"file.md": tmp_path / "outside/secret.md", "folder": tmp_path / "outside", "gone.md": "nowhere"}
    links |= {"own": "instance", "own.md": "instance/church.db", "round": "."}
    for name, target in links.items():
        (site.content / name).symlink_to(target)
    os.mkfifo(site.content / "pipe")
    (site.content / "a\\b.md").write_text("no restore takes it")
    left_out: list[LeftOut] = []
    manifest = backup(inside, tmp_path / "b.tar.gz", left_out.append)
    assert list(manifest.members) == ["database.sqlite", "content/page.md"]
    assert {found.path: found.reason for found in left_out} == {
        "a\\b.md": "no restore accepts a backslash in a name",
        "file.md": "a link that leads out of the content folder",
        "folder": "a link that leads out of the content folder",
        "gone.md": "a link that leads nowhere",
        "own": "a link that leads out of the content folder",
        "own.md": "a link that leads out of the content folder",
        "pipe": "neither a file nor a folder",
        "round": "a link to a folder that it is in",
    }


def test_backup_of_a_content_folder_within_the_instance_has_its_pages(site: Settings, tmp_path: Path) -> None:
    content = site.instance / "content"
    site.content.rename(content)
    manifest = backup(site.model_copy(update={"content": content}), tmp_path / "b.tar.gz")
    assert "content/page.md" in manifest.members


def test_backup_into_a_missing_folder_is_refused(site: Settings, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="is not a folder: create it first"):
        backup(site, tmp_path / "nowhere" / "b.tar.gz")


def test_backup_of_the_other_database_is_refused(site: Settings, tmp_path: Path) -> None:
    backup(site, tmp_path / "b.tar.gz")
    other = site_settings(tmp_path, "postgresql://me@127.0.0.1:1/none")
    with pytest.raises(BackupError, match="from sqlite, this site uses postgresql"):
        restore(other, tmp_path / "b.tar.gz")


def test_backup_of_newer_code_is_refused(site: Settings, tmp_path: Path) -> None:
    with closing(sqlite3.connect(sqlite_path(site))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    backup(site, tmp_path / "b.tar.gz")
    with pytest.raises(BackupError, match="newer than this code: upgrade first"):
        restore(site, tmp_path / "b.tar.gz", force=True)


def test_restore_that_fails_brings_the_old_pages_back(
    site: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError("disk full")

    backup(site, tmp_path / "b.tar.gz")
    (site.content / "page.md").write_text("# Changed")
    monkeypatch.setattr(sqlite, "replace", fails)
    with pytest.raises(OSError, match="disk full"):
        restore(site, tmp_path / "b.tar.gz", force=True)
    assert (site.content / "page.md").read_text() == "# Changed"
