"""In CI a server or browser test that failed runs once more, by itself; a unit test never does."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.support import notes
from tests.support.notes import Flaky, Notes

PLUGINS = ("-p", "tests.support.notes", "-p", "tests.support.run_again", "-p", "no:cacheprovider")
FAILS_ONCE = """
    from pathlib import Path

    def test_waits():
        marker = Path(__file__ + ".ran")
        first = not marker.exists()
        marker.touch()
        print("on a busy machine" if first else "on an idle machine")
        assert not first
"""
FAILS_ALWAYS = "def test_broken():\n    assert False\n"


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with tests/integration, tests/browser and tests/unit."""
    for name in ("integration", "browser", "unit"):
        (pytester.path / "tests" / name).mkdir(parents=True)
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib\n")
    return pytester


def add(suite: pytest.Pytester, name: str, text: str) -> None:
    (suite.path / "tests" / name).write_text(dedent(text))


@pytest.mark.parametrize("folder", ["integration", "browser"])
def test_test_that_passes_alone_is_named_flaky_with_both_outputs(suite: pytest.Pytester, folder: str) -> None:
    add(suite, f"{folder}/test_waiting.py", FAILS_ONCE)
    result = suite.runpytest_inprocess(*PLUGINS, "--run-again")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            f"FLAKY tests/{folder}/test_waiting.py::test_waits",
            "-- among the others it failed:",
            "*assert not True*",
            "*on a busy machine*",
            "-- alone it passed:",
            "*on an idle machine*",
            f"FLAKY, 1: tests/{folder}/test_waiting.py::test_waits",
        ]
    )


def test_fixture_of_a_module_is_new_for_the_second_run(suite: pytest.Pytester) -> None:
    add(
        suite,
        "integration/test_waiting.py",
        """
        import pytest
        from pathlib import Path

        @pytest.fixture(scope="module")
        def server():
            with Path(__file__ + ".starts").open("a+") as starts:
                starts.write("x")
                starts.seek(0)
                return len(starts.read())

        def test_first(server):
            pass

        def test_second(server):
            assert server == 2
        """,
    )
    assert suite.runpytest_inprocess(*PLUGINS, "--run-again").ret == 0


def test_test_that_fails_again_stays_failed(suite: pytest.Pytester) -> None:
    add(suite, "integration/test_broken.py", FAILS_ALWAYS)
    result = suite.runpytest_inprocess(*PLUGINS, "--run-again")
    assert result.ret == 1
    result.stdout.no_fnmatch_line("FLAKY*")


def test_test_that_does_not_end_stays_failed(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.run_again.PATIENCE", 0)
    add(suite, "integration/test_waiting.py", FAILS_ONCE)
    assert suite.runpytest_inprocess(*PLUGINS, "--run-again").ret == 1


def test_unit_test_never_runs_again(suite: pytest.Pytester) -> None:
    add(suite, "unit/test_waiting.py", FAILS_ONCE)
    assert suite.runpytest_inprocess(*PLUGINS, "--run-again").ret == 1
    assert suite.runpytest_inprocess(*PLUGINS, "--run-again").ret == 0  # it ran only once before


def test_without_the_option_nothing_runs_again(suite: pytest.Pytester) -> None:
    add(suite, "integration/test_waiting.py", FAILS_ONCE)
    assert suite.runpytest_inprocess(*PLUGINS).ret == 1
    assert suite.runpytest_inprocess(*PLUGINS).ret == 0


@pytest.mark.parametrize(("flaky", "code"), [(2, 0), (3, 1)])
def test_more_than_two_flaky_tests_fail_the_run(suite: pytest.Pytester, flaky: int, code: int) -> None:
    for number in range(flaky):
        add(suite, f"integration/test_waiting_{number}.py", FAILS_ONCE)
    result = suite.runpytest_inprocess(*PLUGINS, "--run-again")
    assert result.ret == code
    result.stdout.fnmatch_lines([f"FLAKY, {flaky}*"])


@pytest.mark.parametrize(("each", "code"), [(1, 0), (2, 1)])
def test_flaky_tests_of_all_rows_count_together(tmp_path: Path, each: int, code: int) -> None:
    for row in ("servers", "browser"):
        Notes(flaky=[Flaky(f"{row}-{number}", "failed", "passed") for number in range(each)]).write(tmp_path, row)
    assert notes.main(tmp_path) == code
