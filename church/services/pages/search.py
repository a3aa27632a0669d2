"""Search the pages: write the index, and find pages without revealing text that a reader has no access to.

SQLite and PostgreSQL match alike: case and accents are ignored, no stemming, all words must match, and the last word
may be a prefix.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from typing import Any

from markupsafe import Markup, escape
from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select, table, update
from sqlalchemy import literal_column as raw
from sqlalchemy.orm import Session, aliased

from church.database import Database
from church.database.upsert import insert_or_ignore
from church.models.base import MARK_END, MARK_START, plain
from church.models.pages import PageText
from church.services import live_broadcast
from church.services.access import Access, Reader, may_read
from church.services.pages.front_matter import Page
from church.services.pages.library import Library
from church.services.pages.render import Rendered, RenderError

log = logging.getLogger("church.pages")

MOST_QUERY = 200  # characters of a query; the rest is ignored
MOST_RESULTS = 50
_MOST_ROWS = 4 * MOST_RESULTS  # before stale rows and other tags are left out

_MOST_WORDS = 10
_MOST_CHARACTERS = 200
_ACCENT = re.compile("[\u0300-\u036f]")
_BETWEEN_WORDS = re.compile(r"[\s\x00-\x2f:-@\[-`{-\x9f]+")
# Weights of title, summary, tags and body: for FTS5's bm25 in this order; PostgreSQL's in the order D, C, B, A.
_SQLITE_RANK = "bm25(page_texts_fts, 10.0, 4.0, 4.0, 1.0)"
_POSTGRESQL_WEIGHTS = "{0.1, 0.1, 0.4, 1.0}"
_SNIPPET_WORDS = 24
_FTS = table("page_texts_fts")  # no model: only triggers write to it

Render = Callable[[Page], Rendered]
_Row = dict[str, str]


def _row(page: Page, body: str) -> _Row:
    facts = {"title": page.title, "summary": page.summary, "tags": " ".join(page.tags), "body": body}
    return {name: plain(text) for name, text in facts.items()} | {"access": page.access.value}


def _open_row(page: Page, rendered: Rendered) -> _Row:
    """Make the row with the public part of a restricted page: readers without access may find the page by it."""
    return _row(page, "\n".join((rendered.opening_text, *rendered.headings)).strip())


def _is_equal(row: PageText, wanted: _Row) -> bool:
    return all(getattr(row, name) == value for name, value in wanted.items())


def make_rows(library: Library, render: Render) -> dict[tuple[str, str], _Row]:
    """Make all rows of the index by (slug, scope): "full" the whole text, "open" the public part if restricted."""
    rows: dict[tuple[str, str], _Row] = {}
    for page in library.pages:
        try:
            rendered = render(page)
        except RenderError:
            continue  # the cache has logged it
        rows[page.slug, "full"] = _row(page, rendered.text)
        if page.access is not Access.PUBLIC:
            rows[page.slug, "open"] = _open_row(page, rendered)
    return rows


def write_rows(db: Database, wanted: dict[tuple[str, str], _Row]) -> int:
    """Make the index equal ``wanted`` in one transaction, writing only what differs. Returns how many rows changed.

    Live pages get a notice of each new page, unless the index was empty. Two hosts may do this at once: both write the
    rows in one order, and a row that the other has added is updated.
    """
    changed, added = 0, set()
    with db.write() as session:
        existing = {(row.slug, row.scope): row for row in session.scalars(select(PageText))}
        for key in sorted(existing.keys() | wanted.keys()):
            if key not in wanted:
                session.execute(delete(PageText).where(_has_key(*key)))
            elif key in existing and _is_equal(existing[key], wanted[key]):
                continue
            elif _store_row(session, *key, wanted[key]):
                added.add(key[0])
            changed += 1
        if indexed := {slug for slug, _ in existing}:
            new = {slug: row["title"] for (slug, _), row in wanted.items() if slug in added - indexed}
            live_broadcast.notify_new_pages(session, new)
    if changed:
        log.info("pages indexed", extra={"event": "pages.indexed", "rows": changed})
    return changed


def _has_key(slug: str, scope: str) -> ColumnElement[bool]:
    return and_(PageText.slug == slug, PageText.scope == scope)


def _store_row(session: Session, slug: str, scope: str, values: _Row) -> bool:
    """Insert or update a row. Returns whether it is new."""
    if insert_or_ignore(session, PageText, {"slug": slug, "scope": scope, **values}, unique=["slug", "scope"]):
        return True
    session.execute(
        update(PageText).where(_has_key(slug, scope)).values(values).execution_options(synchronize_session=False)
    )
    return False


def find_pages(
    db: Database, library: Library, render: Render, query: str, *, reader: Reader, tag: str | None
) -> list[tuple[Page, Markup | None]]:
    """Find the pages with every word of ``query``, best first, each with a snippet of the text around the words.

    The index may be seconds behind the folder. Left out are pages that no longer exist, and pages closed to
    ``reader`` if their rows still contain text that is no longer public. Raises DatabaseDownError, DatabaseBusyError.
    """
    levels = [level.value for level in Access if may_read(level, reader)]
    with db.read() as session:
        statement = search_statement(session.get_bind().dialect.name, query[:MOST_QUERY], levels, _MOST_ROWS)
        if statement is None:
            return []
        hits = [(str(hit["slug"]), hit["snippet"]) for hit in session.execute(statement).mappings()]
        rows = _open_rows(session, library, reader, [slug for slug, _ in hits])
    results = [
        (page, _snippet(snippet))
        for slug, snippet in hits
        if (page := library.by_slug.get(slug)) is not None
        and (tag is None or tag in page.tags)
        and (may_read(page.access, reader) or _is_fresh(page, rows.get(slug), render))
    ]
    return results[:MOST_RESULTS]


def find_unpublished(library: Library, query: str, tag: str | None) -> list[Page]:
    """Find the unpublished pages with every word of ``query``, for admins. They are in no index, so each is read."""
    words = [_without_accents(word) for word in search_words(query[:MOST_QUERY])]
    pages = [page for page in library.unpublished if tag is None or tag in page.tags]
    return [page for page in pages if words and _has_words(page, words)][:MOST_RESULTS]


def _has_words(page: Page, words: Collection[str]) -> bool:
    text = _without_accents(" ".join((page.title, page.summary, *page.tags, page.source)).lower())
    return all(word in text for word in words)


def _open_rows(session: Session, library: Library, reader: Reader, slugs: Sequence[str]) -> dict[str, PageText]:
    """Load the open rows of those pages that are closed to ``reader``."""
    closed = [slug for slug in slugs if (page := library.by_slug.get(slug)) and not may_read(page.access, reader)]
    if not closed:
        return {}
    wanted = select(PageText).where(PageText.slug.in_(closed), PageText.scope == "open")
    return {row.slug: row for row in session.scalars(wanted)}


def _is_fresh(page: Page, row: PageText | None, render: Render) -> bool:
    """Whether the index has a closed page's public part as it is now.

    Both rows of a page are written together: if the open row is up to date, the full row is as well.
    """
    try:
        return row is not None and _is_equal(row, _open_row(page, render(page)))
    except RenderError:
        return False


def _snippet(text: str | None) -> Markup | None:
    """Return the text around the words, which are in <mark>; None if only title, summary or tags have them."""
    if not text or MARK_START not in text:
        return None
    marked = str(escape(text)).replace(MARK_START, "<mark>").replace(MARK_END, "</mark>")
    return Markup(marked)  # noqa: S704 - escaped before the marks were put in


# -- the query ------------------------------------------------------------------------------------------------------


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
