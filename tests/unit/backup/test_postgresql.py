"""pg_dump and pg_restore, as they are called and when they fail. Real backups need the server: see integration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from church.backup import postgresql
from church.backup.archive import BackupError
from church.config import Settings
from tests.support.services_fixture import site_settings


@pytest.fixture
def down(tmp_path: Path) -> Settings:
    """A site whose PostgreSQL does not run."""
    return site_settings(tmp_path, "postgresql://me:hunter2@127.0.0.1:1/none")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(postgresql.glob, "glob", lambda _pattern: [])
    monkeypatch.setenv("PATH", str(folder))
    return folder


def add_program(folder: Path, name: str, script: str) -> None:
    """Add a program that runs ``script``."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o700)


def test_server_that_is_down_is_reported_without_its_password(down: Settings) -> None:
    for question in (postgresql.read_revision, lambda settings: postgresql.check_target(settings, force=True)):
        with pytest.raises(BackupError, match="can't reach the database: check DATABASE_URL") as raised:
            question(down)
        assert "hunter2" not in str(raised.value)


def test_missing_program_is_reported_with_its_package(down: Settings, programs: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"pg_dump is missing: .*postgresql-client"):
        postgresql.write_snapshot(down, tmp_path / "dump")


def test_password_is_in_the_environment_and_not_on_the_command_line(
    down: Settings, programs: Path, tmp_path: Path
) -> None:
    add_program(programs, "pg_dump", f'echo "$@" > {tmp_path}/arguments; echo "$PGPASSWORD" > {tmp_path}/password')
    postgresql.write_snapshot(down, tmp_path / "dump")
    arguments = (tmp_path / "arguments").read_text()
    assert "hunter2" not in arguments
    assert f"-f {tmp_path / 'dump'}" in arguments
    assert (tmp_path / "password").read_text() == "hunter2\n"


def test_program_that_fails_is_reported_with_its_error(down: Settings, programs: Path, tmp_path: Path) -> None:
    add_program(programs, "pg_dump", "echo 'no such role' >&2; exit 1")
    with pytest.raises(BackupError, match="pg_dump failed: no such role"):
        postgresql.write_snapshot(down, tmp_path / "dump")


def test_newest_installed_program_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 16 before 9, although "9" sorts after "16" as text."""
    installed = [f"/usr/lib/postgresql/{version}/bin" for version in (9, 16, 15)]
    monkeypatch.setattr(postgresql.glob, "glob", lambda _pattern: installed)
    monkeypatch.setattr(postgresql.shutil, "which", lambda name, path: f"{path.split(os.pathsep)[0]}/{name}")
    assert postgresql._find("pg_dump") == "/usr/lib/postgresql/16/bin/pg_dump"
