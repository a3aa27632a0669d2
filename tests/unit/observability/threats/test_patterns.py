"""The patterns themselves: each has a reason, and none fits ordinary text."""

from __future__ import annotations

from pathlib import Path

import pytest

from church.observability.threats import patterns
from church.observability.threats.pattern_matcher import load_matcher
from church.observability.threats.patterns import PATTERNS, Pattern, Strength


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: f"{pattern.activity_type}: {pattern.reason[:40]}")
def test_pattern_has_a_reason_and_matches_no_ordinary_sentence(pattern: Pattern, tmp_path: Path) -> None:
    assert pattern.reason
    sentence = b"\x1e\x1fThe choir sings on Sunday at ten, and coffee is served after it.\x1e"
    assert load_matcher([pattern.expression], tmp_path).hits(sentence) == []


def test_expand_replaces_names_inside_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(patterns.VOCABULARY, "outer", "(?:<<inner>>|b)")
    monkeypatch.setitem(patterns.VOCABULARY, "inner", "a")
    assert patterns.expand("x<<outer>>y<<inner>>") == "x(?:a|b)ya"


def test_expand_unknown_name_raises() -> None:
    with pytest.raises(KeyError, match="nothing"):
        patterns.expand("<<nothing>>")


def test_no_pattern_has_a_name_that_is_not_replaced() -> None:
    assert [pattern for pattern in patterns.PATTERNS if patterns._NAME.search(pattern.expression)] == []


def test_patterns_of_a_type_come_strongest_first() -> None:
    for activity_type in {pattern.activity_type for pattern in PATTERNS}:
        strengths = [pattern.strength for pattern in PATTERNS if pattern.activity_type == activity_type]
        assert strengths == sorted(strengths, reverse=True)


def test_every_type_has_a_pattern_that_is_refused() -> None:
    strong = {pattern.activity_type for pattern in PATTERNS if pattern.strength >= Strength.SIGN}
    assert strong == {pattern.activity_type for pattern in PATTERNS}
