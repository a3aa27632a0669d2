"""``--shuffle SEED``: run the tests in random order, to find those that depend on another one before them."""

from __future__ import annotations

import random

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--shuffle``."""
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run the tests in the random order of this seed")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say how to repeat the order."""
    seed = config.getoption("--shuffle")
    return None if seed is None else f"random order: --shuffle {seed}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle all tests, across modules too."""
    if (seed := config.getoption("--shuffle")) is not None:
        random.Random(seed).shuffle(items)
