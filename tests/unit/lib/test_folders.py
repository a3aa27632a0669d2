"""The instance folder is private to its user, whichever code creates it first."""

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
from church.lib.files import make_private
from church.lib.secrets import load_instance_secret
from church.server import prepare
from church.web import maintenance
from tests.support.services_fixture import site_settings

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
