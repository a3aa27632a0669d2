"""Keep a test that failed from failing a later one.

The traceback of a failed test holds its local variables until the next test: sockets, files, connections. Each warns
when it is freed, warnings are errors, and the next test would get them.
"""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Iterator

import pytest

_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember that a test failed, in its setup, call or teardown."""
    report: pytest.TestReport = yield  # type: ignore[misc]
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report  # type: ignore[return-value]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Free what a failed test held, without a warning."""
    try:
        return (yield)
    finally:
        if item.stash.get(_FAILED, False):
            _free_last_traceback()


def _free_last_traceback() -> None:
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        if hasattr(sys, name):
            delattr(sys, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
