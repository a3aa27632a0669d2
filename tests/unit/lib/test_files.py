"""Private files and folders, and the mark that all processes of a host see change."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from church import backup
from church.config import Settings
from church.database import migrations
from church.lib.files import ChangeMark, make_private
from church.lib.secrets import load_instance_secret
from church.server import prepare
from church.web import maintenance
from tests.support.services_fixture import site_settings


def test_change_is_seen_by_open_marks_and_other_processes(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    mine, theirs = ChangeMark(path), ChangeMark(path)
    before = mine.read()
    theirs.change()
    changed = mine.read()
    assert changed != before
    assert changed == theirs.read()
    change = "import sys, pathlib, church.lib.files as m; m.ChangeMark(pathlib.Path(sys.argv[1])).change()"
    subprocess.run([sys.executable, "-c", change, str(path)], check=True)
    assert mine.read() not in {before, changed}


def test_mark_file_is_private(tmp_path: Path) -> None:
    ChangeMark(tmp_path / "mark").change()
    assert (tmp_path / "mark").stat().st_mode & 0o077 == 0


def test_mark_without_a_file_is_empty_and_changing_it_does_nothing(tmp_path: Path) -> None:
    mark = ChangeMark(tmp_path / "nowhere" / "mark")
    mark.change()
    assert mark.read() == b""


ROOT = Path(__file__).resolve().parent.parents[2]


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def restore_nothing(settings: Settings) -> None:
    with pytest.raises(backup.BackupError):
        backup.restore(settings, ROOT / "README.md")


@pytest.mark.parametrize(
    "first",
    [
        lambda settings: make_private(settings.instance),
        lambda settings: load_instance_secret(settings.instance, "ANY"),
        maintenance.turn_on,
        migrations.migrate,
        prepare.prepare_instance,
        restore_nothing,
    ],
)
def test_instance_folder_is_private_whatever_creates_it(first: Callable[[Settings], object], tmp_path: Path) -> None:
    settings = site_settings(tmp_path, SECRET_KEY="x" * 40)
    assert not settings.instance.exists()
    first(settings)
    assert settings.instance.stat().st_mode & 0o777 == 0o700


def test_gunicorn_workers_create_private_files(tmp_path: Path) -> None:
    line = "import os, runpy; runpy.run_path('ops/gunicorn.conf.py'); print(oct(os.umask(0)))"
    environment = {**os.environ, "CHURCH_INSTANCE": str(tmp_path)}
    answer = subprocess.run(
        [sys.executable, "-c", line], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "0o77"
