"""Tests in random order: all of them, and again in the same order for the same seed."""

from __future__ import annotations

import pytest


def order(pytester: pytest.Pytester, *options: str) -> list[str]:
    """Return the names of the tests in the order in which they run."""
    result = pytester.runpytest_inprocess("-p", "tests.support.order", "--collect-only", "-q", *options)
    return [line for line in result.outlines if "::" in line]


def test_seed_gives_one_order_of_all_tests(pytester: pytest.Pytester) -> None:
    for module in ("a", "b"):
        pytester.makepyfile(**{f"test_{module}": "\n".join(f"def test_{n}():\n    pass" for n in range(20))})
    usual, shuffled = order(pytester), order(pytester, "--shuffle=7")
    assert usual != shuffled
    assert sorted(usual) == sorted(shuffled)
    assert order(pytester, "--shuffle=7") == shuffled
    assert order(pytester, "--shuffle=8") != shuffled
