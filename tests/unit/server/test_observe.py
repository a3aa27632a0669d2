"""``flask church observe`` reads the settings, and becomes the small process that runs the store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from church.server.observe import OFF
from tests.support.site_fixture import ROOT


def observe(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the process until it ends by itself."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHURCH_")}
    own = {"CHURCH_ENV_FILE": "", "CHURCH_INSTANCE": f"{folder}/instance", "CHURCH_LOG_DIR": f"{folder}/logs"}
    return subprocess.run(
        [sys.executable, "-m", "church.server.observe"],
        cwd=ROOT,
        env={**environment, **own, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_observe_turned_off_ends_with_a_code_of_its_own(tmp_path: Path) -> None:
    ended = observe(tmp_path, CHURCH_OBSERVATORY="off")
    assert (ended.returncode, ended.stderr) == (OFF, "CHURCH_OBSERVATORY is off.\n")
    assert not (tmp_path / "instance").exists() or not (tmp_path / "instance/observatory").exists()


def test_observe_wrong_setting_is_named(tmp_path: Path) -> None:
    ended = observe(tmp_path, CHURCH_OBSERVATORY_DAYS="0")
    assert ended.returncode == 1
    assert "CHURCH_OBSERVATORY_DAYS" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_observe_loads_neither_settings_nor_the_site_nor_duckdb() -> None:
    code = "import sys, church.server.observe as o; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"duckdb", "pydantic", "flask", "sqlalchemy", "gevent"} & set(loaded.split())
