"""What every test starts from: a site of its own in an empty instance, and telemetry that raises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings as of_hypothesis

from church import create_app
from church.config import Settings, load_settings
from church.observability import raise_in_tests, request_observer, verbs
from church.observability.metrics import worker_files
from church.services.accounts import passwords
from tests.support.cheap import collect_garbage_less_often, make_sites_cheap
from tests.support.databases import copy_database
from tests.support.environment import SETTINGS_OF_THE_SHELL, forget_the_shell

__all__ = ["SETTINGS_OF_THE_SHELL"]

pytest_plugins = [
    "tests.support.services_fixture",
    "tests.support.site_fixture",
    "tests.support.mail_fixture",
    "tests.support.accounts_fixture",
    "tests.support.membership_fixture",
    "tests.support.video_fixture",
    "tests.support.s3_fixture",
]

make_sites_cheap()
of_hypothesis.load_profile("ci")  # the same examples each time, as many seconds as they take, and nothing kept of them


def pytest_collection_finish() -> None:
    """Whatever the tests need is imported."""
    collect_garbage_less_often()


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests reaches them."""
    forget_the_shell(monkeypatch)
    monkeypatch.setenv("CHURCH_ENV_FILE", "")


@pytest.fixture(autouse=True)
def _every_event_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there were in this second: the tests before this one count for nothing."""
    monkeypatch.setattr(verbs, "_flood", verbs.RecordBudget(per_second=1e9))


@pytest.fixture(autouse=True)
def _no_request_is_under_way() -> None:
    """A test whose answer nobody closed leaves its request behind."""
    request_observer.current.set(None)


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes take a millisecond in here; the sites that tests start as processes of their own keep the real cost."""
    monkeypatch.setattr(passwords, "COST", 4)


@pytest.fixture(scope="session", autouse=True)
def _slot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """This process counts in a folder of its own, and telemetry that fails raises."""
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
    """A browser without a past."""
    return app.test_client()
