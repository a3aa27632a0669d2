"""A test names the programs it uses: without one it is skipped, and the run says at its end what to install."""

from __future__ import annotations

from pathlib import Path

import pytest

PLUGINS = ("-p", "tests.support.notes", "-p", "tests.support.programs")
TESTS = """
    import pytest
    from tests.support.programs import needing, program

    @pytest.fixture
    @needing("ffmpeg")
    def film():
        return program("ffmpeg")

    @pytest.mark.needs("curl", "jq")
    def test_marked():
        pass

    def test_of_a_fixture(film):
        pass

    @pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
    def test_of_a_parameter(database):
        pass
"""


@pytest.fixture
def bare(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder of tests on a machine with no program at all."""
    monkeypatch.setattr("tests.support.programs.find", lambda name: None)
    monkeypatch.delenv("CHURCH_REQUIRE_SERVICES", raising=False)
    return pytester


def test_missing_programs_skip_their_tests_and_are_named_in_one_line(bare: pytest.Pytester) -> None:
    bare.makepyfile(TESTS)
    result = bare.runpytest_inprocess(*PLUGINS)
    result.assert_outcomes(passed=1, skipped=3)
    result.stdout.fnmatch_lines(
        ["3 checks need curl, ffmpeg, jq, postgres: apt-get install curl ffmpeg jq postgresql", "*1 passed*"]
    )


def test_missing_program_fails_its_test_where_all_are_required(
    bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURCH_REQUIRE_SERVICES", "1")
    bare.makepyfile(TESTS)
    result = bare.runpytest_inprocess(*PLUGINS)
    result.assert_outcomes(passed=1, errors=3)
    result.stdout.fnmatch_lines(["*needs curl, jq: apt-get install curl jq"])


def test_tests_without_a_program_are_all_that_run_without_the_mark(bare: pytest.Pytester) -> None:
    bare.makepyfile(TESTS)
    bare.runpytest_inprocess(*PLUGINS, "-m", "not needs").assert_outcomes(passed=1, deselected=3)


def test_program_that_is_not_marked_fails_its_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from tests.support.programs import program

        def test_unmarked():
            program("bash")
        """
    )
    result = pytester.runpytest_inprocess(*PLUGINS)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(['*test_unmarked uses bash: mark it with needs("bash")*'])


def test_program_of_an_unknown_package_stops_the_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n\n@pytest.mark.needs('no-such-program')\ndef test_it():\n    pass\n")
    result = pytester.runpytest_inprocess(*PLUGINS)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*needs no-such-program: add the package*"])


def test_several_runs_leave_their_notes_to_be_said_once(bare: pytest.Pytester, tmp_path: Path) -> None:
    from tests.support import notes

    bare.makepyfile(TESTS)
    result = bare.runpytest_inprocess(*PLUGINS, f"--notes={tmp_path}")
    result.stdout.no_fnmatch_line("*checks need*")
    assert [*notes.Notes.read(tmp_path).lines()] == [
        "3 checks need curl, ffmpeg, jq, postgres: apt-get install curl ffmpeg jq postgresql"
    ]
