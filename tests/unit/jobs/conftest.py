"""An app with the job queue on SQLite, and a registry of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from church.extensions import db
from church.jobs import registry
from tests.support.services_fixture import sqlite_site


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the handlers and schedules that a test registers."""
    for name, copied in (("_handlers", dict), ("_schedules", dict), ("_heavy", set)):
        monkeypatch.setattr(registry, name, copied(getattr(registry, name)))


@pytest.fixture
def app(tmp_path: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """An app whose only jobs are of the kind ``test.work``."""
    monkeypatch.setattr(registry, "_handlers", {"test.work": lambda _payload: None})
    monkeypatch.setattr(registry, "_schedules", {})
    app = Flask("test")
    app.config["CHURCH"] = sqlite_site(tmp_path, migrated_file)
    db.init_app(app)
    with app.app_context():
        yield app
        db.dispose()
