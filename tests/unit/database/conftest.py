"""A migrated SQLite database for each test, and its extension in an app without anything else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from church.config import Settings
from church.database import Database
from tests.support.databases import bring_to_head
from tests.support.services_fixture import site_settings


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    """Settings of a site whose database is migrated."""
    settings = site_settings(tmp_path)
    bring_to_head(settings)
    return settings


@pytest.fixture
def db(site: Settings) -> Iterator[Database]:
    """The database of ``site``, in an app context."""
    app = Flask("test")
    app.config["CHURCH"] = site
    found = Database()
    found.init_app(app)
    with app.app_context():
        yield found
        found.dispose()
