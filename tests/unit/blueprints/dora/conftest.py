"""A client that reports deliveries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from church.extensions import db
from tests.support.delivery_fixture import Machine


@pytest.fixture
def machine(app: Flask) -> Iterator[Machine]:
    """A client on this host that reports to the JSON API."""
    yield Machine(app)
    with app.app_context():
        db.dispose()
