"""The cache of the compiled patterns, and what happens if the cached file is unusable."""

from __future__ import annotations

from pathlib import Path

import hyperscan
import pytest

from church.observability.threats import pattern_matcher
from church.observability.threats.pattern_matcher import load_matcher

EXPRESSIONS = ["amen", r"hal+elujah\s*!"]


def forbid_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    class Kept(hyperscan.Database):
        def compile(self, **arguments: object) -> None:
            raise AssertionError("compiled, although a good file was kept")

    monkeypatch.setattr(pattern_matcher.hyperscan, "Database", Kept)


def test_hits_name_the_expression_and_its_first_match(tmp_path: Path) -> None:
    assert load_matcher(EXPRESSIONS, tmp_path).hits(b"AMEN, amen, Halllelujah !") == [(0, 4), (1, 25)]


def test_second_load_uses_the_cached_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_matcher(EXPRESSIONS, tmp_path)
    forbid_compiling(monkeypatch)
    assert load_matcher(EXPRESSIONS, tmp_path).hits(b"amen") == [(0, 4)]


def test_changed_expressions_are_compiled_anew(tmp_path: Path) -> None:
    load_matcher(EXPRESSIONS, tmp_path)
    assert load_matcher(["peace", *EXPRESSIONS], tmp_path).hits(b"peace") == [(0, 5)]


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, b"no database at all"])
def test_damaged_file_is_compiled_anew_and_replaced(
    tmp_path: Path, damage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_matcher(EXPRESSIONS, tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(damage or kept.read_bytes()[:-50])
    assert load_matcher(EXPRESSIONS, tmp_path).hits(b"amen") == [(0, 4)]
    forbid_compiling(monkeypatch)
    assert load_matcher(EXPRESSIONS, tmp_path).hits(b"amen") == [(0, 4)]


def test_folder_that_is_not_writable_does_no_harm(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    assert load_matcher(EXPRESSIONS, occupied).hits(b"amen") == [(0, 4)]


def test_cache_has_no_drafts_and_no_older_patterns(tmp_path: Path) -> None:
    load_matcher(EXPRESSIONS, tmp_path)
    load_matcher(["peace"], tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".hsdb"]
    assert load_matcher(["peace"], tmp_path).hits(b"peace") == [(0, 5)]
