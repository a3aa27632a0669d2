"""The search index of the pages, on both databases: ranking, access, snippets, hostile queries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings, strategies

from church.config import Settings
from church.database import Database
from church.models import PageText
from church.models.base import MARK_END, MARK_START
from church.services.pages.search.find import search_statement
from church.services.pages.search.words import index_text

pytestmark = pytest.mark.services

EVERYONE = ["public"]
PREMIUM = ["public", "members", "premium"]


@pytest.fixture
def db(migrated_site: Settings) -> Iterator[Database]:
    app = Flask("test")
    app.config["CHURCH"] = migrated_site
    found = Database()
    found.init_app(app)
    with app.app_context():
        with found.write() as session:
            session.add_all(
                [
                    page("candle", "Candle care", "Trim the wick, then light the candle.", tags="light home"),
                    page("cafe", "Café hours", "The café opens at 7.30, well-known for its crème brûlée."),
                    page("wick", "Lamps", "A lamp has a wick too. " + "Filler words follow here. " * 60),
                    page("secret", "Inner page", "An opening for all.", scope="open", access="premium"),
                    page("secret", "Inner page", "An opening for all. The treasure is below.", access="premium"),
                ]
            )
        yield found
        found.dispose()


def page(slug: str, title: str, body: str, *, scope: str = "full", access: str = "public", tags: str = "") -> PageText:
    texts = {"title": index_text(title), "summary": "", "tags": index_text(tags), "body": index_text(body)}
    return PageText(slug=slug, scope=scope, access=access, **texts)


def find(db: Database, query: str, levels: list[str] = EVERYONE, limit: int = 10) -> list[tuple[str, str]]:
    with db.read() as session:
        statement = search_statement(session.get_bind().dialect.name, query, levels, limit)
        return [] if statement is None else [(row.slug, row.snippet) for row in session.execute(statement)]


def slugs(db: Database, query: str, levels: list[str] = EVERYONE) -> list[str]:
    return [slug for slug, _ in find(db, query, levels)]


def test_search_ranks_a_title_before_a_body(db: Database) -> None:
    assert slugs(db, "wick") == ["candle", "wick"]
    assert slugs(db, "lamps") == ["wick"]


def test_search_needs_every_word_and_completes_the_last(db: Database) -> None:
    assert slugs(db, "wick cand") == ["candle"]
    assert slugs(db, "cand wick") == []


def test_search_of_many_words_needs_them_all_and_marks_the_first(db: Database) -> None:
    ((slug, snippet),) = find(db, "a lamp has wick too filler words fol")
    assert (slug, f"{MARK_START}lamp{MARK_END}" in snippet) == ("wick", True)
    assert slugs(db, "a lamp has wick too filler words flo") == []


@pytest.mark.parametrize(
    "query", ["cafe", "CAFÉ", "Cafe\u0301", "creme brulee", "well-known", "7.30", "(café)", "hours:"]
)
def test_search_folds_case_accents_and_punctuation(db: Database, query: str) -> None:
    assert slugs(db, query) == ["cafe"]


def test_search_finds_tags(db: Database) -> None:
    assert slugs(db, "home") == ["candle"]


def test_search_never_matches_text_closed_to_the_reader(db: Database) -> None:
    assert slugs(db, "treasure") == []
    assert slugs(db, "treasure", ["public", "members"]) == []
    assert slugs(db, "treasure", PREMIUM) == ["secret"]


def test_search_shows_visitors_only_the_teaser(db: Database) -> None:
    [(slug, snippet)] = find(db, "opening")
    assert slug == "secret"
    assert "treasure" not in snippet


def test_search_lists_a_page_once_for_readers_with_access(db: Database) -> None:
    [(_, snippet)] = find(db, "opening", PREMIUM)
    assert "treasure" in snippet


def test_snippet_marks_the_word_and_is_short(db: Database) -> None:
    snippet = dict(find(db, "wick"))["wick"]
    assert f"{MARK_START}wick{MARK_END}" in snippet
    assert len(snippet.split()) < 40


def test_snippet_marks_cannot_be_forged_by_a_page(db: Database) -> None:
    with db.write() as session:
        session.add(page("forger", "Forger", f"{MARK_END}{MARK_START}forged\x00 \udc00text"))
    [(_, snippet)] = find(db, "forged")
    assert snippet == f"{MARK_START}forged{MARK_END} text"


def test_search_respects_its_limit(db: Database) -> None:
    assert len(find(db, "wick", limit=1)) == 1


def test_index_follows_changes_and_deletions(db: Database) -> None:
    with db.write() as session:
        found = session.get(PageText, ("candle", "full"))
        assert found is not None
        found.body, found.title = "Beeswax.", "Wax"
        session.delete(session.get(PageText, ("wick", "full")))
    assert slugs(db, "wick") == []
    assert slugs(db, "beeswax") == ["candle"]


HOSTILE = [
    "",
    " ",
    "\x00",
    '"',
    "'",
    "' OR 1=1 --",
    '"" OR ""',
    "a AND",
    "NOT",
    "NEAR(a, b)",
    "title:wick",
    "{title} : x",
    "wick*",
    "^wick",
    "a & | ! b",
    "a <-> b",
    "a:*",
    "\\",
    "'\\",
    "%_%",
    "\ud800",
    "☃ ❄",
    "—",
    "\uff41",
    "\u017ft",
    "ß",
    "İstanbul",
    "한국어",
    "हिन्दी",
    "a" * 5000,
    "(a+)+$" * 100,
    "x " * 5000,
    f"{MARK_START}wick{MARK_END}",
    "\ue123",
    "\U0010fffd",
]


@pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
def test_search_hostile_input_raises_nothing(db: Database, query: str) -> None:
    assert not any("treasure" in snippet for _, snippet in find(db, query))


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],  # the machine may be slow
    derandomize=True,
)
@given(query=strategies.text(strategies.characters(codec=None), max_size=60))
def test_search_any_text_raises_nothing(db: Database, query: str) -> None:
    find(db, query, PREMIUM)


@pytest.mark.parametrize("script", ["Привет мир", "한국어 문장", "Ελλάδα", "straße"])
def test_search_finds_words_of_other_scripts(db: Database, script: str) -> None:
    with db.write() as session:
        session.add(page("script", script, "Body."))
    assert slugs(db, script.upper() if script != "straße" else script) == ["script"]
