"""``--kills N``: how often tests kill processes at random. A few are a sample; ``make long`` asks for more."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--kills``."""
    parser.addoption("--kills", type=int, default=6, metavar="N", help="kill so often in tests that kill at random")


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How often to kill."""
    return int(request.config.getoption("--kills"))
