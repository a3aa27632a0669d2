"""Search the pages: write the index, and find pages without revealing text that a reader has no access to.

SQLite and PostgreSQL match alike: case and accents are ignored, no stemming, all words must match, and the last word
may be a prefix. Text without blanks between words, as in Japanese, matches anywhere (see search_text).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from markupsafe import Markup, escape
from sqlalchemy import ColumnElement, Select, and_, case, delete, exists, func, or_, select, table, update
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
from church.services.pages.search_text import (
    MAX_QUERY,
    Piece,
    fold_letters,
    index_text,
    remove_accents,
    show_text,
    split_query,
)

log = logging.getLogger("church.pages")

MOST_RESULTS = 50
_MOST_ROWS = 4 * MOST_RESULTS  # before stale rows and other tags are left out

# Weights of title, summary, tags and body: for FTS5's bm25 in this order; PostgreSQL's in the order D, C, B, A.
_SQLITE_RANK = "bm25(page_texts_fts, 10.0, 4.0, 4.0, 1.0)"
_POSTGRESQL_WEIGHTS = "{0.1, 0.1, 0.4, 1.0}"
_SNIPPET_WORDS = 24
# Characters of the stored text that a snippet of an unspaced script is cut from, and of the snippet around the match.
_WINDOW, _WINDOW_BEFORE = 800, 200
_SHOWN_BEFORE, _SHOWN_AFTER = 40, 90
_FTS = table("page_texts_fts")  # no model: only triggers write to it

Render = Callable[[Page], Rendered]
_Row = dict[str, str]


def _row(page: Page, body: str) -> _Row:
    facts = {"title": page.title, "summary": page.summary, "tags": " ".join(page.tags), "body": body}
    return {name: index_text(plain(text)) for name, text in facts.items()} | {"access": page.access.value}


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
            new = {slug: show_text(row["title"]) for (slug, _), row in wanted.items() if slug in added - indexed}
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
    pieces = split_query(query)
    with db.read() as session:
        statement = search_statement(session.get_bind().dialect.name, query, levels, _MOST_ROWS)
        if statement is None:
            return []
        hits = [(str(hit["slug"]), hit["snippet"]) for hit in session.execute(statement).mappings()]
        rows = _open_rows(session, library, reader, [slug for slug, _ in hits])
    results = [
        (page, _snippet(snippet, pieces))
        for slug, snippet in hits
        if (page := library.by_slug.get(slug)) is not None
        and (tag is None or tag in page.tags)
        and (may_read(page.access, reader) or _is_fresh(page, rows.get(slug), render))
    ]
    return results[:MOST_RESULTS]


def find_unpublished(library: Library, query: str, tag: str | None) -> list[Page]:
    """Find the unpublished pages with every word of ``query``, for admins. They are in no index, so each is read."""
    words = [remove_accents(piece.indexed) for piece in split_query(query)]
    pages = [page for page in library.unpublished if tag is None or tag in page.tags]
    return [page for page in pages if words and _has_words(page, words)][:MOST_RESULTS]


def _has_words(page: Page, words: Collection[str]) -> bool:
    text = remove_accents(index_text(" ".join((page.title, page.summary, *page.tags, page.source))).lower())
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


def _snippet(text: str | None, pieces: Sequence[Piece]) -> Markup | None:
    """Return the text around the words, which are in <mark>; None if only title, summary or tags have them."""
    if text and any(piece.letters for piece in pieces):
        text = _mark_pieces(show_text(text), pieces)
    if not text or MARK_START not in text:
        return None
    marked = show_text(str(escape(text))).replace(MARK_START, "<mark>").replace(MARK_END, "</mark>")
    return Markup(marked)  # noqa: S704 - escaped before the marks were put in


def _mark_pieces(text: str, pieces: Sequence[Piece]) -> str:
    """Cut ``text`` to the first match of a piece, and mark all matches."""
    folded = fold_letters(text)
    words = "|".join(re.escape(fold_letters(piece.text)) for piece in sorted(pieces, key=lambda p: -len(p.text)))
    first = re.search(words, folded)
    if first is None:
        return ""
    start, end = max(0, first.start() - _SHOWN_BEFORE), first.end() + _SHOWN_AFTER
    parts, done = ["…" if start else ""], start
    for match in re.finditer(words, folded[:end]):
        if match.start() >= done:
            parts += [text[done : match.start()], MARK_START, text[match.start() : match.end()], MARK_END]
            done = match.end()
    return "".join([*parts, text[done:end], "…" if end < len(text) else ""])


# -- the query ------------------------------------------------------------------------------------------------------


def search_statement(
    dialect_name: str, query: str, readable_levels: Collection[str], limit: int
) -> Select[tuple[str, str]] | None:
    """Build the query for pages with every word of ``query`` in readable text: (slug, snippet), best first.

    Matches are between MARK_START and MARK_END, which no text contains; if the query has unspaced letters, the snippet
    is the text around, without marks. None if ``query`` has no words.
    """
    pieces = split_query(query[:MAX_QUERY])
    if not pieces:
        return None
    search = _on_sqlite if dialect_name == "sqlite" else _on_postgresql
    return search(pieces, readable_levels, limit)


def _visible(levels: Collection[str]) -> ColumnElement[bool]:
    """Full rows of readable levels, and open rows of the other pages."""
    whole = aliased(PageText)
    readable = exists().where(whole.slug == PageText.slug, whole.scope == "full", whole.access.in_(levels))
    return or_(
        and_(PageText.scope == "full", PageText.access.in_(levels)),
        and_(PageText.scope == "open", ~readable),
    )


def _contains(piece: Piece, find: Any) -> ColumnElement[bool]:
    """Whether a row has the letters of a piece side by side; ``find`` is the database's function for it."""
    columns = (PageText.title, PageText.summary, PageText.tags, PageText.body)
    return or_(*(find(column, piece.indexed) > 0 for column in columns))


def _window(body: Any, pieces: Sequence[Piece], find: Any) -> ColumnElement[Any]:
    """Cut a body to the surroundings of the first piece that it has."""
    places = [func.nullif(find(body if piece.letters else func.lower(body), piece.indexed), 0) for piece in pieces]
    at = func.coalesce(*places, 1)
    return func.substr(body, case((at > _WINDOW_BEFORE, at - _WINDOW_BEFORE), else_=1), _WINDOW)


def _on_sqlite(pieces: Sequence[Piece], levels: Collection[str], limit: int) -> Select[Any]:
    # A last word may be the beginning of a longer one; a phrase of letters may be so anyway.
    match = " ".join(f'"{piece.indexed}"' for piece in pieces) + ("" if pieces[-1].letters else " *")
    index: ColumnElement[Any] = raw("page_texts_fts")
    unspaced = any(piece.letters for piece in pieces)
    marked = func.snippet(index, 3, MARK_START, MARK_END, "…", _SNIPPET_WORDS)
    found: Select[Any] = (
        select(PageText.slug, (PageText.id if unspaced else marked).label("snippet"))
        .select_from(PageText)
        .join(_FTS, raw("page_texts_fts.rowid") == PageText.id)
        .where(index.op("MATCH")(match), _visible(levels))
        .where(*(_contains(piece, func.instr) for piece in pieces if piece.has_marks))
        .order_by(raw(_SQLITE_RANK), PageText.slug)
        .limit(limit)
    )
    if not unspaced:
        return found
    best = found.add_columns(raw(_SQLITE_RANK).label("rank")).subquery("best")
    window = _window(PageText.body, pieces, func.instr).label("snippet")
    # The subquery limits the rows first, so that snippets are made only for those shown.
    shown = select(best.c.slug, window).join(PageText, PageText.id == best.c.snippet)
    return shown.order_by(best.c.rank, best.c.slug)


def _on_postgresql(pieces: Sequence[Piece], levels: Collection[str], limit: int) -> Select[Any]:
    words = [f"'{remove_accents(letter)}'" for piece in pieces for letter in piece.letters or (piece.text,)]
    wanted = func.to_tsquery("simple", " & ".join(words) + ("" if pieces[-1].letters else ":*"))
    search: ColumnElement[Any] = raw("page_texts.search")
    rank = func.ts_rank(raw(f"'{_POSTGRESQL_WEIGHTS}'::real[]"), search, wanted)
    best = (
        select(PageText.slug, PageText.body, rank.label("rank"))
        .where(search.op("@@")(wanted), _visible(levels))
        .where(*(_are_adjacent(piece, search) for piece in pieces if len(piece.letters) > 1))
        .order_by(rank.desc(), PageText.slug)
        .limit(limit)
        .subquery("best")
    )
    options = (
        f'StartSel="{MARK_START}", StopSel="{MARK_END}", MaxFragments=1, FragmentDelimiter="…", '
        f"MaxWords={_SNIPPET_WORDS}, MinWords={_SNIPPET_WORDS // 2}"
    )
    # The subquery limits the rows first, so that snippets are made only for those shown.
    marked = func.ts_headline("simple", best.c.body, wanted, options)
    snippet = _window(best.c.body, pieces, func.strpos) if any(piece.letters for piece in pieces) else marked
    return select(best.c.slug, snippet.label("snippet")).order_by(best.c.rank.desc(), best.c.slug)


def _are_adjacent(piece: Piece, search: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a row has the letters of a piece as a phrase.

    A tsvector keeps at most 256 positions of a letter, and none beyond 16,383: then the text itself is searched.
    """
    phrase = " <-> ".join(f"'{remove_accents(letter)}'" for letter in piece.letters)
    return or_(search.op("@@")(func.to_tsquery("simple", phrase)), _contains(piece, func.strpos))
