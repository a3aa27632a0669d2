"""The clock moves between the collection of the tests and the first of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.site_fixture import ROOT

TESTS = """
import time
from datetime import UTC, datetime

COLLECTED = datetime.now(UTC)


def test_clock():
    assert 900 <= (datetime.now(UTC) - COLLECTED).total_seconds() < 1200
    time.sleep(0.01)  # libfaketime lies to it too
"""


@pytest.mark.needs("faketime")
def test_late_run_is_fifteen_minutes_after_its_collection(tmp_path):
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "tests.support.late", "15", "-c", "/dev/null", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
