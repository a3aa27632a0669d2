"""Fixtures of every test: a site in an empty instance, without the shell's settings, with telemetry that raises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings as of_hypothesis

from church import create_app
from church.config import Settings, load_settings
from church.observability import raise_in_tests, record_budget, request_observer
from church.observability.metrics import worker_files
from church.observability.traces import recorder
from church.services.accounts import passwords
from church.store.rate_counters import Settler
from tests.support.cheap import collect_garbage_less_often, make_sites_cheap
from tests.support.databases import copy_database
from tests.support.environment import SETTINGS_OF_THE_SHELL, forget_the_shell
from tests.support.helpers import unlimited_budget

__all__ = ["SETTINGS_OF_THE_SHELL"]

pytest_plugins = [
    "pytester",
    "tests.support.notes",
    "tests.support.programs",
    "tests.support.leftovers",
    "tests.support.order",
    "tests.support.kills",
    "tests.support.run_again",
    "tests.support.services_fixture",
    "tests.support.site_fixture",
    "tests.support.mail_fixture",
    "tests.support.accounts_fixture",
    "tests.support.membership_fixture",
    "tests.support.video_fixture",
    "tests.support.s3_fixture",
    "tests.support.kept_traces",
]

make_sites_cheap()
of_hypothesis.load_profile("ci")  # the same examples in each run, no deadline, no database of examples


def pytest_collection_finish() -> None:
    """Collect garbage less often once all imports are done."""
    collect_garbage_less_often()


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings of the shell that runs the tests."""
    forget_the_shell(monkeypatch)
    monkeypatch.setenv("CHURCH_ENV_FILE", "")


@pytest.fixture(autouse=True)
def _unlimited_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log every event: the budget would count events of earlier tests."""
    monkeypatch.setattr(record_budget, "BUDGET", unlimited_budget())


@pytest.fixture(autouse=True)
def _no_current_request() -> None:
    """Forget the request of an earlier test that did not close its response."""
    request_observer.current.set(None)
    recorder.current.set(None)


@pytest.fixture(autouse=True)
def _settled_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settle limits of sites in this process only when a test says so: the thread would log into other tests."""
    monkeypatch.setattr(Settler, "wake", lambda _settler: None)


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a password hash cost one millisecond. Sites in separate processes keep the real cost."""
    monkeypatch.setattr(passwords, "COST", 4)


@pytest.fixture(scope="session", autouse=True)
def _metrics_slot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Count metrics in a temporary folder, and raise errors of the telemetry."""
    folder = tmp_path_factory.mktemp("metrics")
    worker_files.SLOTS.take(folder, "web")
    raise_in_tests.on = True
    yield folder
    raise_in_tests.on = False
    worker_files.SLOTS.leave()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A development site in ``tmp_path``, with the demo content."""
    return load_settings(CHURCH_INSTANCE=tmp_path / "instance", CHURCH_LOG_DIR=tmp_path / "logs")


@pytest.fixture
def app(settings: Settings, migrated_file: Path) -> Flask:
    """The site over an empty, migrated SQLite database."""
    copy_database(migrated_file, settings)
    app = create_app(settings)
    app.testing = True
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser without cookies."""
    return app.test_client()
