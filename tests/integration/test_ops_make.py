"""The Makefile: which Python it uses, when it installs what, and which tests it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Stands in for Python: says how it was called, and makes a .venv that does the same.
STAND_IN = """#!/bin/sh
echo "python $*" >> "{log}"
case "$*" in
  *version_info*) exit {too_old} ;;
  "-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
esac
"""


@pytest.fixture
def project(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.lock", "requirements-build.lock", "requirements-dev.lock", "setup.cfg"):
        (tmp_path / name).write_text("")
    return tmp_path


def make(project, *targets, too_old=0):
    python = project / "python-stand-in"
    python.write_text(STAND_IN.format(log=project / "calls", too_old=too_old))
    python.chmod(0o755)
    environment = {
        name: value for name, value in os.environ.items() if "MAKE" not in name and name not in {"RUN_AGAIN", "NOTED"}
    }
    (project / "calls").write_text("")
    return subprocess.run(
        ["make", f"PYTHON={python}", *targets],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def calls(project):
    return (project / "calls").read_text()


def age(path, seconds):
    old = path.stat().st_mtime - seconds
    os.utime(path, (old, old))


def test_make_with_an_old_python_names_the_needed_version(project):
    done = make(project, ".venv/run.stamp", too_old=1)
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert not (project / ".venv").exists()


def test_make_without_python_names_the_needed_version(project):
    done = subprocess.run(
        ["make", "PYTHON=", ".venv/run.stamp"], cwd=project, capture_output=True, text=True, check=False
    )
    assert "needs Python 3.11 or newer" in done.stderr


def test_make_in_a_fresh_clone_installs_the_lock_file_with_hashes(project):
    assert make(project, ".venv/run.stamp").returncode == 0
    assert "-m venv --clear .venv" in calls(project)
    assert "--require-hashes -r requirements.lock" in calls(project)
    assert "--no-deps --no-build-isolation -e ." in calls(project)
    assert "requirements-dev.lock" not in calls(project)


def test_make_a_second_time_installs_nothing(project):
    make(project, ".venv/dev.stamp")
    assert make(project, ".venv/dev.stamp").returncode == 0
    assert calls(project) == ""


def test_make_after_a_lock_change_installs_into_the_same_venv(project):
    make(project, ".venv/run.stamp")
    age(project / ".venv/run.stamp", 100)
    assert make(project, ".venv/run.stamp").returncode == 0
    assert "--require-hashes -r requirements.lock" in calls(project)
    assert "-m venv" not in calls(project)


def test_make_for_tests_and_lint_installs_their_tools(project):
    assert make(project, ".venv/dev.stamp").returncode == 0
    assert "--require-hashes -r requirements-dev.lock" in calls(project)


def test_make_after_a_failed_install_tries_again(project):
    make(project, ".venv/run.stamp")
    (project / ".venv/run.stamp").unlink()
    (project / ".venv/bin/python").write_text("#!/bin/sh\nexit 1\n")
    assert make(project, ".venv/run.stamp").returncode == 0
    assert "-m venv --clear .venv" in calls(project)


# -- tests ----------------------------------------------------------------------------------------------------------

ROWS = ("tests/unit", "tests/integration/test_[a-l]*.py", "tests/integration/test_[!a-l]*.py", "tests/browser")


@pytest.fixture
def tested(project):
    """A project whose tools say how they were called."""
    make(project, ".venv/dev.stamp")
    shutil.copytree(ROOT / ".ci", project / ".ci")
    for name in ("ruff", "mypy", "lint-imports"):
        shutil.copy(project / ".venv/bin/python", project / ".venv/bin" / name)
    return project


def refuse(project, words):
    python = project / ".venv/bin/python"
    python.write_text(python.read_text() + f'case "$*" in *"{words}"*) exit 1 ;; esac\n')


def pytests(project):
    """The arguments of each pytest that ran."""
    return [line for line in calls(project).splitlines() if line.startswith("python -m pytest")]


def test_make_test_runs_all_tests_and_says_last_what_is_missing(tested):
    assert make(tested, "test").returncode == 0
    assert sorted(line.rpartition(" ")[2] for line in pytests(tested)) == sorted(ROWS)
    assert all(" --notes=.venv/notes " in line for line in pytests(tested))
    assert calls(tested).splitlines()[-1] == "python -m tests.support.notes .venv/notes"
    assert "--run-again" not in calls(tested)


@pytest.mark.parametrize("words", ["tests/browser", "tests.support.notes"])
def test_make_test_with_a_failure_runs_the_other_rows_and_fails(tested, words):
    refuse(tested, words)
    assert make(tested, "test").returncode != 0
    assert len(pytests(tested)) == len(ROWS)


@pytest.mark.parametrize("words", ["ops/lint.py", "tests/browser"])
def test_make_ci_fails_where_lint_or_tests_do(tested, words):
    refuse(tested, words)
    assert make(tested, "ci").returncode != 0


def test_make_ci_runs_all_tests_and_only_those_of_servers_again(tested):
    assert make(tested, "ci").returncode == 0
    again = {line.rpartition(" ")[2] for line in pytests(tested) if "--run-again" in line}
    assert again == set(ROWS) - {"tests/unit"}
    once = [line for line in pytests(tested) if "--run-again" not in line]
    assert sorted(line.rpartition(" -m ")[2] for line in once) == [
        "needs tests/unit",
        "not needs tests/unit/[!s]*",
        "not needs tests/unit/s*",
    ]


@pytest.mark.needs("bash")
def test_bare_command_finds_nothing_but_python_make_and_coreutils():
    found = subprocess.run(
        [ROOT / ".ci/bare", "python3", "-c", "import os; print(*os.listdir(os.environ['PATH']))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {"python3", "make", "cat", "timeout"} <= {*found}
    assert not {"bash", "curl", "ffmpeg", "grep", "ps", "sed", "git"} & {*found}
