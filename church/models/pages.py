"""The searchable text of the pages, and the search query for SQLite and PostgreSQL.

A page has a row of scope ``full`` with its whole text and, if access is limited, a row of scope ``open`` with what
everyone may read. Both databases match alike: case and accents are ignored, no stemming, all words must match, and the
last word may be a prefix.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Any

from sqlalchemy import CheckConstraint, ColumnElement, Select, UniqueConstraint, and_, exists, func, or_, select, table
from sqlalchemy import literal_column as raw
from sqlalchemy.orm import Mapped, aliased, mapped_column

from church.models.base import MARK_END, MARK_START, Base, BigId, PlainText, plain

_MOST_WORDS = 10
_MOST_CHARACTERS = 200
_ACCENT = re.compile("[\u0300-\u036f]")
_BETWEEN_WORDS = re.compile(r"[\s\x00-\x2f:-@\[-`{-\x9f]+")
# Weights of title, summary, tags and body: for FTS5's bm25 in this order; PostgreSQL's in the order D, C, B, A.
_SQLITE_RANK = "bm25(page_texts_fts, 10.0, 4.0, 4.0, 1.0)"
_POSTGRESQL_WEIGHTS = "{0.1, 0.1, 0.4, 1.0}"
_SNIPPET_WORDS = 24
_FTS = table("page_texts_fts")  # no model: only triggers write to it


class PageText(Base):
    """The text of one page in one scope; ``(slug, scope)`` is its key, also in ``session.get``."""

    __tablename__ = "page_texts"
    __table_args__ = (
        UniqueConstraint("slug", "scope"),
        CheckConstraint("scope IN ('open', 'full')", name="scope"),
        CheckConstraint("access IN ('public', 'members', 'premium')", name="access"),
    )

    # FTS5 refers to rows by number, and only a declared INTEGER PRIMARY KEY survives VACUUM (sqlite.org/lang_vacuum).
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    slug: Mapped[str] = mapped_column()
    scope: Mapped[str] = mapped_column()
    title: Mapped[str] = mapped_column(PlainText)
    summary: Mapped[str] = mapped_column(PlainText)
    tags: Mapped[str] = mapped_column(PlainText)
    body: Mapped[str] = mapped_column(PlainText)
    access: Mapped[str]

    __mapper_args__ = {"primary_key": [slug, scope]}  # noqa: RUF012 (SQLAlchemy expects a dict)


def search_words(query: str) -> list[str]:
    """Split a query into words, at most ten, without ASCII punctuation.

    Inside quotes, the words can't be syntax to FTS5 or to a tsquery.
    """
    typed = unicodedata.normalize("NFC", plain(query[:_MOST_CHARACTERS])).lower()
    return [word for word in _BETWEEN_WORDS.split(typed) if any(c.isalnum() for c in word)][:_MOST_WORDS]


def _without_accents(word: str) -> str:
    """Like church_fold of the migrations. SQLite's tokenizer removes accents itself, fewer in Greek."""
    return unicodedata.normalize("NFC", _ACCENT.sub("", unicodedata.normalize("NFD", word)))


def search_statement(
    dialect_name: str, query: str, readable_levels: Collection[str], limit: int
) -> Select[tuple[str, str]] | None:
    """Build the query for pages with every word of ``query`` in readable text: (slug, snippet), best first.

    Matches are between MARK_START and MARK_END, which no text contains. None if ``query`` has no words.
    """
    words = search_words(query)
    if not words:
        return None
    search = _on_sqlite if dialect_name == "sqlite" else _on_postgresql
    return search(words, readable_levels, limit)


def _visible(levels: Collection[str]) -> ColumnElement[bool]:
    """Full rows of readable levels, and open rows of the other pages."""
    whole = aliased(PageText)
    readable = exists().where(whole.slug == PageText.slug, whole.scope == "full", whole.access.in_(levels))
    return or_(
        and_(PageText.scope == "full", PageText.access.in_(levels)),
        and_(PageText.scope == "open", ~readable),
    )


def _on_sqlite(words: list[str], levels: Collection[str], limit: int) -> Select[Any]:
    match = " ".join(f'"{word}"' for word in words) + " *"
    index: ColumnElement[Any] = raw("page_texts_fts")
    return (
        select(
            PageText.slug,
            func.snippet(index, 3, MARK_START, MARK_END, "…", _SNIPPET_WORDS).label("snippet"),
        )
        .select_from(PageText)
        .join(_FTS, raw("page_texts_fts.rowid") == PageText.id)
        .where(index.op("MATCH")(match), _visible(levels))
        .order_by(raw(_SQLITE_RANK), PageText.slug)
        .limit(limit)
    )


def _on_postgresql(words: list[str], levels: Collection[str], limit: int) -> Select[Any]:
    wanted = func.to_tsquery("simple", " & ".join(f"'{_without_accents(word)}'" for word in words) + ":*")
    search: ColumnElement[Any] = raw("page_texts.search")
    rank = func.ts_rank(raw(f"'{_POSTGRESQL_WEIGHTS}'::real[]"), search, wanted)
    best = (
        select(PageText.slug, PageText.body, rank.label("rank"))
        .where(search.op("@@")(wanted), _visible(levels))
        .order_by(rank.desc(), PageText.slug)
        .limit(limit)
        .subquery("best")
    )
    options = (
        f'StartSel="{MARK_START}", StopSel="{MARK_END}", MaxFragments=1, FragmentDelimiter="…", '
        f"MaxWords={_SNIPPET_WORDS}, MinWords={_SNIPPET_WORDS // 2}"
    )
    # The subquery limits the rows first, so that snippets are made only for those shown.
    snippet = func.ts_headline("simple", best.c.body, wanted, options).label("snippet")
    return select(best.c.slug, snippet).order_by(best.c.rank.desc(), best.c.slug)
