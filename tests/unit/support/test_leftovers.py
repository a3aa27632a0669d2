"""A test that failed fails no other."""

from __future__ import annotations

import pytest

from ops.documents import ROOT

TESTS = """
    import gc
    import socket

    def test_fails_with_an_open_socket():
        held = socket.socket()
        assert held is None

    def test_comes_later():
        gc.collect()
"""


def test_socket_of_a_failed_test_does_not_fail_the_next(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-p", "tests.support.leftovers", "-W", "error")
    result.assert_outcomes(failed=1, passed=1)
