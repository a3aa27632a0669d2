"""The search query: its words, and which pages it finds. Both databases are compared in the integration tests."""

from __future__ import annotations

import pytest
from flask import Flask

from church.extensions import db
from church.models import PageText
from church.models.base import MARK_END, MARK_START
from church.models.pages import search_statement, search_words


def found(query: str, levels: tuple[str, ...] = ("public",), limit: int = 10) -> list[tuple[str, str]]:
    statement = search_statement("sqlite", query, levels, limit)
    assert statement is not None
    with db.read() as session:
        return [(slug, snippet) for slug, snippet in session.execute(statement)]


def add_page(slug: str, body: str, scope: str = "full", access: str = "public") -> None:
    with db.write() as session:
        text = {"title": slug, "summary": "", "tags": "", "body": body}
        session.add(PageText(slug=slug, scope=scope, access=access, **text))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("Lake  House", ["lake", "house"]),
        ('"lake" OR house*', ["lake", "or", "house"]),
        ("Zoe\u0308", ["zoë"]),
        ("a\x00b\ue000c", ["abc"]),
        ("it's", ["it", "s"]),
        ("湖 дом", ["湖", "дом"]),
        (" -- !? ", []),
        ("", []),
        ("w " * 50, ["w"] * 10),
        ("x" * 5000, ["x" * 200]),
    ],
)
def test_search_words_are_bounded_and_without_syntax(query: str, words: list[str]) -> None:
    assert search_words(query) == words


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_search_without_words_is_none(dialect: str) -> None:
    assert search_statement(dialect, "\x00 -- ", ("public",), 10) is None


def test_search_needs_every_word_and_marks_the_matches(at_work: Flask) -> None:
    add_page("one", "A lake beside the house.")
    add_page("two", "A lake alone.")
    assert found("lake hou") == [("one", f"A {MARK_START}lake{MARK_END} beside the {MARK_START}house{MARK_END}.")]
    assert {slug for slug, _ in found("LAKE")} == {"one", "two"}
    assert len(found("lake", limit=1)) == 1


def test_search_shows_closed_text_only_to_readers_with_access(at_work: Flask) -> None:
    add_page("gold", "teaser of the lake", scope="open")
    add_page("gold", "teaser of the lake, and a secret", access="premium")
    assert found("secret") == []
    assert [slug for slug, _ in found("lake")] == ["gold"]
    assert [slug for slug, _ in found("secret", ("public", "premium"))] == ["gold"]
    assert [slug for slug, _ in found("lake", ("public", "premium"))] == ["gold"]
