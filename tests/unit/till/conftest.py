"""A new till for each test, called with the official SDK."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from church.config import Settings
from tests.support.till_fixture import InProcessTill


@pytest.fixture
def till(settings: Settings) -> Iterator[InProcessTill]:
    """A new till with its plans."""
    made = InProcessTill(settings)
    yield made
    made.desk.store.close()
