"""``--run-again``, in CI alone: run each server or browser test that failed once more, by itself.

It runs in a pytest of its own, so all its fixtures are new. A test that then passes is named as FLAKY at the end with
both outputs; one that fails again stays failed. A unit test that failed never runs again.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.notes import Flaky, Notes

FOLDERS = ("tests/integration/", "tests/browser/")
"""Where tests wait for other programs, so that a busy machine can fail them."""
PATIENCE = 600
"""Seconds that a test gets by itself."""


class RunAgain:
    """Remembers what failed, and tries it again after the last test."""

    def __init__(self) -> None:
        self._failed: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember the output of a test that failed, in its setup, call or teardown."""
        if report.failed:
            parts = [report.longreprtext, *(f"{title}\n{text}" for title, text in report.sections)]
            self._failed[report.nodeid] = "\n".join([self._failed.get(report.nodeid, ""), *parts]).strip()

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Pass the run if each test that failed passes alone, and not too many did."""
        if exitstatus == pytest.ExitCode.TESTS_FAILED and self._all_pass_alone(session.config):
            session.exitstatus = pytest.ExitCode.OK

    def _all_pass_alone(self, config: pytest.Config) -> bool:
        """Try the tests one by one, and stop when the run has failed whatever the next ones do."""
        notes = Notes.of(config)
        for test, first in self._failed.items():
            if not test.startswith(FOLDERS):
                return False
            passed, second = run_alone(config, test)
            if not passed:
                return False
            notes.flaky.append(Flaky(test, first, second))
            if notes.too_flaky:
                return False
        return bool(self._failed)


def run_alone(config: pytest.Config, test: str) -> tuple[bool, str]:
    """Run one test in a new pytest. Returns whether it passed, and its output."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rP", test]
    try:
        done = subprocess.run(
            command, cwd=config.rootpath, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return False, f"not within {PATIENCE} s"
    return done.returncode == 0, done.stdout + done.stderr


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--run-again``."""
    parser.addoption(
        "--run-again", action="store_true", help="run a failed server or browser test once more, by itself"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Turn on what the option asks for."""
    if config.getoption("--run-again"):
        config.pluginmanager.register(RunAgain(), "run-again")
