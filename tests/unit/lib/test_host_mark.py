"""The mark that all processes of a host see change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from church.lib.files import ChangeMark


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
