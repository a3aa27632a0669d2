"""Programs besides Python that tests use: which a test needs, where each is, and which Debian package has it.

A test that uses one is marked ``needs("ffmpeg")``, or uses a fixture marked with ``needing``. Without the program it is
skipped, and the last line of the run names all packages that are missing; with CHURCH_REQUIRE_SERVICES=1 it fails.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from tests.support.notes import Notes

PACKAGES = {
    "amtool": "prometheus-alertmanager",
    "bash": "bash",
    "chromium-headless-shell": "chromium-headless-shell",
    "curl": "curl",
    "faketime": "faketime",
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "git": "git",
    "initdb": "postgresql",
    "jq": "jq",
    "logrotate": "logrotate",
    "mount": "mount",
    "nginx": "nginx-light",
    "openssl": "openssl",
    "pg_dump": "postgresql",
    "pgbouncer": "pgbouncer",
    "postgres": "postgresql",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "promtool": "prometheus",
    "redis-server": "redis-server",
    "setpriv": "util-linux",
    "systemd-analyze": "systemd",
    "umount": "mount",
    "unshare": "util-linux",
}
"""The Debian package of each program that a test may need."""
_OTHER_NAMES = {
    "chromium-headless-shell": ("chromium",),
    "prometheus-alertmanager": ("alertmanager",),
}
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")

Function = TypeVar("Function", bound=Callable[..., Any])
_item: pytest.Item | None = None


def needing(*programs: str) -> Callable[[Function], Function]:
    """Mark a fixture: each test that uses it needs these programs. Goes below ``@pytest.fixture``."""

    def mark(function: Function) -> Function:
        function.programs = programs  # type: ignore[attr-defined]
        return function

    return mark


def find(name: str) -> str | None:
    """Return the path of a program, also of one in a folder that only root or PostgreSQL has on its PATH."""
    installed = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: float(path.split("/")[4]), reverse=True)
    path = os.pathsep.join([*installed, os.environ.get("PATH", ""), *_SYSTEM_FOLDERS])
    found = (shutil.which(one, path=path) for one in (name, *_OTHER_NAMES.get(name, ())))
    return next(filter(None, found), None)


def program(name: str) -> str:
    """Return the path of a program that the running test is marked to need."""
    if _item is not None and name not in _needed_by(_item):
        pytest.fail(f'{_item.nodeid} uses {name}: mark it with needs("{name}"), or its fixture with needing')
    if found := find(name):
        return found
    pytest.fail(f"{name} is not installed: apt-get install {PACKAGES[name]}")


def _needed_by(item: pytest.Item) -> list[str]:
    """Return the programs that a test is marked to need, each once."""
    named = (name for mark in item.iter_markers("needs") for name in mark.args)
    return sorted(set(named))


def _of_fixtures(item: pytest.Item) -> Iterator[str]:
    """Yield the programs that the fixtures of a test need."""
    info = getattr(item, "_fixtureinfo", None)
    for definitions in info.name2fixturedefs.values() if info else ():
        yield from getattr(definitions[-1].func, "programs", ())


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line("markers", "needs(*programs): uses programs besides Python; skipped where one is missing")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test with the programs that its fixtures need."""
    if found := sorted(set(_of_fixtures(item))):
        item.add_marker(pytest.mark.needs(*found))
    if unknown := set(_needed_by(item)) - PACKAGES.keys():
        raise pytest.UsageError(f"{item.nodeid} needs {', '.join(unknown)}: add the package to {__name__}.PACKAGES")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Remember which test runs."""
    global _item  # noqa: PLW0603 (pytest runs one test at a time)
    _item = item
    try:
        return (yield)
    finally:
        _item = None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose programs are not installed, before its fixtures start anything."""
    missing = [name for name in _needed_by(item) if find(name) is None]
    if not missing:
        return
    packages = {name: PACKAGES[name] for name in missing}
    message = f"needs {', '.join(missing)}: apt-get install {' '.join(sorted(set(packages.values())))}"
    if os.environ.get("CHURCH_REQUIRE_SERVICES") == "1":
        pytest.fail(message, pytrace=False)
    Notes.of(item.config).missing[item.nodeid] = packages
    pytest.skip(message)
