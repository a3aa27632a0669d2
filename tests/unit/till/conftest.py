"""A new till for each test, called with the official SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from church.config import Settings
from tests.support.till_fixture import InProcessTill


@pytest.fixture
def till(settings: Settings) -> Iterator[InProcessTill]:
    """A new till with its plans."""
    made = InProcessTill(settings)
    yield made
    made.desk.store.close()


@pytest.fixture
def charge(till: InProcessTill) -> dict[str, Any]:
    """The charge of a new subscription."""
    return till.charge(till.latest_invoice(till.subscribe()["id"]))
