"""Fixtures of the pages that watch the site."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from tests.support.store_stand_in import StoreStandIn, running_stand_in


@pytest.fixture
def store(app: Flask) -> Iterator[StoreStandIn]:
    """A stand-in for the telemetry store of the site."""
    with running_stand_in(app.config["CHURCH"].instance) as stand_in:
        yield stand_in
