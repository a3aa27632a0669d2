"""Search the pages, without revealing text that a reader has no access to. ``index`` keeps what is searched.

SQLite and PostgreSQL match alike: case and accents are ignored, no stemming, all words must match, and the last word
may be a prefix. Text without blanks between words, as in Japanese, matches anywhere (see words).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup, escape
from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, table, text, union
from sqlalchemy import literal_column as raw
from sqlalchemy.orm import Session, aliased

from church.database import Database
from church.lib.threads import run_off_hub
from church.models.base import MARK_END, MARK_START
from church.models.pages import PageText
from church.services.access import Access, Reader, may_read
from church.services.pages.folder import read_file
from church.services.pages.front_matter import Page, PageFacts
from church.services.pages.library import Library
from church.services.pages.render import ChangedPageError, Rendered, RenderError
from church.services.pages.search.index import has_texts, is_of_page, make_open_row
from church.services.pages.search.words import (
    MAX_QUERY,
    Piece,
    fold_letters,
    index_text,
    remove_accents,
    show_text,
    split_query,
)

MOST_RESULTS = 1000  # through all parts
_MOST_UNPUBLISHED = 50
_MOST_READ = 2000  # unpublished pages

# Weights of title, summary, tags and body: for FTS5's bm25 in this order; PostgreSQL's in the order D, C, B, A.
_SQLITE_RANK = "bm25(10.0, 4.0, 4.0, 1.0)"
_POSTGRESQL_WEIGHTS = "{0.1, 0.1, 0.4, 1.0}"
_MOST_RANKING = 4  # words that PostgreSQL ranks by, and marks: its time for both grows with their square
_SNIPPET_WORDS = 24
# Characters of the stored text that a snippet of an unspaced script is cut from, and of the snippet around the match.
_WINDOW, _WINDOW_BEFORE = 800, 200
_SHOWN_BEFORE, _SHOWN_AFTER = 40, 90
_FTS = table("page_texts_fts")  # no model: only triggers write to it

Confirm = Callable[[list[PageFacts]], list[PageFacts]]
Render = Callable[[PageFacts], Rendered]


@dataclass(frozen=True)
class Wanted:
    """A search: ``limit`` results from the hit ``offset`` on, with ``tag`` or any."""

    query: str
    reader: Reader
    tag: str | None = None
    offset: int = 0
    limit: int = 20


@dataclass(frozen=True)
class Results:
    """The pages found, each with a snippet of the text around the words, and at which hit the next results begin.

    ``is_cut``: there are more, but no search goes further.
    """

    pages: list[tuple[PageFacts, Markup | None]]
    next: int | None = None
    is_cut: bool = False


def find_pages(db: Database, library: Library, wanted: Wanted, confirm: Confirm, render: Render) -> Results:
    """Find the pages with every word of the query, best first.

    The index may be seconds behind the folder. Left out are pages that no longer exist, and pages closed to the reader
    if their rows still contain text that is no longer public. Raises DatabaseDownError, DatabaseBusyError.
    """
    levels = [level.value for level in Access if may_read(level, wanted.reader)]
    pieces = split_query(wanted.query)
    most = max(0, min(wanted.limit, MOST_RESULTS - wanted.offset))
    with db.read() as session:
        hits = _find_hits(session, wanted, levels, most + 1) if most else []
        slugs = [slug for slug, _ in hits[:most]]
        pages = {page.slug: page for page in confirm(list(library.find_all(slugs).values()))}
        rows = _open_rows(session, [page.slug for page in pages.values() if not may_read(page.access, wanted.reader)])
    results = [
        (page, _snippet(snippet, pieces))
        for slug, snippet in hits[:most]
        if (page := pages.get(slug)) is not None
        and (wanted.tag is None or wanted.tag in page.tags)
        and (may_read(page.access, wanted.reader) or _is_fresh(page, rows.get(slug), render))
    ]
    has_more, is_last = len(hits) > most, wanted.offset + most >= MOST_RESULTS
    return Results(results, wanted.offset + most if has_more and not is_last else None, has_more and is_last)


def _find_hits(session: Session, wanted: Wanted, levels: Collection[str], limit: int) -> list[tuple[str, str]]:
    """Find rows of the index: slug and snippet, best first."""
    dialect = session.get_bind().dialect.name
    if dialect == "sqlite":
        return _find_on_sqlite(session, wanted, levels, limit)
    statement = search_statement(dialect, wanted.query, levels, limit, offset=wanted.offset, tag=wanted.tag)
    if statement is None:
        return []
    # It would read the whole table rather than the index where it expects many hits.
    session.execute(text("SET LOCAL enable_seqscan = off"))
    return [(str(row.slug), row.snippet) for row in session.execute(statement)]


def _find_on_sqlite(session: Session, wanted: Wanted, levels: Collection[str], limit: int) -> list[tuple[str, str]]:
    """Find rows like ``_find_hits``. Of very common words, those in title, summary and tags come first.

    To rank a hit takes far longer than to find it. So of more hits than anybody is shown, only the newest are ranked.
    """
    pieces, of_tag = split_query(wanted.query[:MAX_QUERY]), split_query(wanted.tag or "")
    if not pieces:
        return []
    search = partial(_on_sqlite, pieces, levels=levels)
    found = _match_on_sqlite(pieces, of_tag)
    everything = _Newest(0, 0) if any(piece.has_marks for piece in pieces) else _count(session, search, found.all)
    headline = _count(session, search, found.headline) if everything.hits > MOST_RESULTS else _Newest(0, 0)
    if not headline.hits:
        return _fetch(session, search(found.all, everything.lowest).limit(limit).offset(wanted.offset))
    hits = _fetch(session, search(found.headline, headline.lowest).limit(limit).offset(wanted.offset))
    if len(hits) < limit:
        rest = search(found.rest, _count(session, search, found.rest).lowest).limit(limit - len(hits))
        hits += _fetch(session, rest.offset(max(0, wanted.offset - headline.hits)))
    return hits


def _count(session: Session, search: Callable[[str], Select[Any]], match: str) -> _Newest:
    """Count the hits, the newest of them, one more than are ever shown; and the lowest ``rowid`` of these."""
    rowid: ColumnElement[int] = raw("page_texts_fts.rowid")
    newest = search(match).with_only_columns(rowid.label("id")).order_by(None).order_by(rowid.desc())
    of = newest.limit(MOST_RESULTS + 1).subquery()
    ((count, lowest),) = _fetch(session, select(func.count(), func.min(of.c.id)))
    return _Newest(count, lowest or 0)


def _fetch(session: Session, statement: Select[*tuple[Any, ...]]) -> list[Any]:
    """Run a search on SQLite. Ranking many hits takes long, in C: that happens off the hub."""
    connection = session.connection()
    compiled = statement.compile(connection, compile_kwargs={"render_postcompile": True})
    values = tuple(compiled.params[name] for name in compiled.positiontup or ())
    cursor = connection.connection.cursor()
    try:
        found: list[Any] = run_off_hub(_run, cursor, str(compiled), values)
    finally:
        cursor.close()
    return found


def _run(cursor: Any, statement: str, values: tuple[object, ...]) -> list[Any]:
    rows: list[Any] = cursor.execute(statement, values).fetchall()
    return rows


def find_unpublished(root: Path, library: Library, query: str, tag: str | None) -> list[PageFacts]:
    """Find the unpublished pages with every word of ``query``, for admins. They are in no index, so each is read.

    Takes long: call it off the hub.
    """
    words = [remove_accents(piece.indexed) for piece in split_query(query)]
    found: list[PageFacts] = []
    for page in library.unpublished(_MOST_READ) if words else ():
        if len(found) < _MOST_UNPUBLISHED and (tag is None or tag in page.tags):
            current = read_file(os.path.realpath(root), page.stamp.path).found
            if isinstance(current, Page) and _has_words(current, words):
                found.append(page)
    return found


def _has_words(page: Page, words: Collection[str]) -> bool:
    text = remove_accents(index_text(" ".join((page.title, page.summary, *page.tags, page.source))).lower())
    return all(word in text for word in words)


def _open_rows(session: Session, slugs: Sequence[str]) -> dict[str, PageText]:
    """Load the open rows of pages that are closed to the reader."""
    if not slugs:
        return {}
    wanted = select(PageText).where(PageText.slug.in_(slugs), PageText.scope == "open")
    return {row.slug: row for row in session.scalars(wanted)}


def _is_fresh(page: PageFacts, row: PageText | None, render: Render) -> bool:
    """Whether the index has a closed page's public part as it is now.

    Both rows of a page are written together: if the open row is up to date, the full row is as well.
    """
    if row is None:
        return False
    try:
        return is_of_page(row, page) or has_texts(row, make_open_row(page, render(page)))
    except (RenderError, ChangedPageError):
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
    dialect_name: str,
    query: str,
    readable_levels: Collection[str],
    limit: int,
    *,
    offset: int = 0,
    tag: str | None = None,
) -> Select[tuple[str, str]] | None:
    """Build the query for pages with every word of ``query`` in readable text: (slug, snippet), best first.

    Matches are between MARK_START and MARK_END, which no text contains; if the query has unspaced letters, the snippet
    is the text around, without marks. None if ``query`` has no words.
    """
    pieces = split_query(query[:MAX_QUERY])
    if not pieces:
        return None
    of_tag = split_query(tag or "")
    if dialect_name == "sqlite":
        statement = _on_sqlite(pieces, _match_on_sqlite(pieces, of_tag).all, levels=readable_levels)
        return statement.limit(limit).offset(offset)
    return _on_postgresql(pieces, of_tag, readable_levels, limit, offset)


def _visible(levels: Collection[str]) -> ColumnElement[bool]:
    """Full rows of readable levels, and open rows of the other pages."""
    whole = aliased(PageText)
    # The level of the whole, and not whether it is readable: for EXISTS, PostgreSQL would read all readable pages.
    level = select(whole.access).where(whole.slug == PageText.slug, whole.scope == "full").scalar_subquery()
    return or_(
        and_(PageText.scope == "full", PageText.access.in_(levels)),
        and_(PageText.scope == "open", func.coalesce(level, "").not_in(levels)),
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


class _Newest(NamedTuple):
    """How many hits there are, up to one more than are shown, and the lowest ``rowid`` of the newest of them."""

    hits: int
    lowest: int


class _Match(NamedTuple):
    """Expressions of FTS5: for all hits, those with all words in title, summary and tags, and the others."""

    all: str
    headline: str
    rest: str


def _match_on_sqlite(pieces: Sequence[Piece], of_tag: Sequence[Piece]) -> _Match:
    # A last word may be the beginning of a longer one; a phrase of letters may be so anyway.
    words = " AND ".join(f'"{piece.indexed}"' for piece in pieces) + ("" if pieces[-1].letters else " *")
    quoted = " AND ".join(f'"{piece.indexed}"' for piece in of_tag)
    tagged = f"tags : ({quoted}) AND " if of_tag else ""
    headline = f"({{title summary tags}} : ({words}))"
    return _Match(f"{tagged}({words})", f"{tagged}{headline}", f"({tagged}({words})) NOT {headline}")


def _on_sqlite(pieces: Sequence[Piece], match: str, lowest: int = 0, *, levels: Collection[str]) -> Select[Any]:
    index: ColumnElement[Any] = raw("page_texts_fts")
    rowid: ColumnElement[int] = raw("page_texts_fts.rowid")
    snippet: ColumnElement[Any] = func.snippet(index, 3, MARK_START, MARK_END, "…", _SNIPPET_WORDS)
    if any(piece.letters for piece in pieces):
        snippet = _window(PageText.body, pieces, func.instr)
    # FTS5 itself sorts by its rank, and gives one hit after the other: rows are looked at, and snippets made, of no
    # more than are shown.
    return (
        select(PageText.slug, snippet.label("snippet"))
        .select_from(_FTS)
        .join(PageText, rowid == PageText.id)
        .where(index.op("MATCH")(match), raw("page_texts_fts.rank").op("MATCH")(_SQLITE_RANK), _visible(levels))
        .where(*(_contains(piece, func.instr) for piece in pieces if piece.has_marks))
        .where(*((rowid >= lowest,) if lowest else ()))
        .order_by(raw("page_texts_fts.rank"))
    )


def _on_postgresql(
    pieces: Sequence[Piece], of_tag: Sequence[Piece], levels: Collection[str], limit: int, offset: int
) -> Select[Any]:
    words = [f"'{remove_accents(letter)}'" for piece in pieces for letter in piece.letters or (piece.text,)]
    wanted = func.to_tsquery("simple", " & ".join(words) + ("" if pieces[-1].letters else ":*"))
    ranking = wanted if len(words) <= _MOST_RANKING else func.to_tsquery("simple", " & ".join(words[:_MOST_RANKING]))
    search: ColumnElement[Any] = raw("page_texts.search")
    rank = partial(func.ts_rank, raw(f"'{_POSTGRESQL_WEIGHTS}'::real[]"))
    filters = [_visible(levels), *(_are_adjacent(piece, search) for piece in pieces if len(piece.letters) > 1)]
    if of_tag:
        letters = [f"'{remove_accents(letter)}':B" for piece in of_tag for letter in piece.letters or (piece.text,)]
        filters.append(search.op("@@")(func.to_tsquery("simple", " & ".join(letters))))
    # Both give all that sorting needs, so that the table is not read again for it. The text is not searched where
    # title, summary and tags alone have more hits than anybody is shown.
    hits = select(PageText.id, PageText.slug, search.label("search")).where(*filters).limit(MOST_RESULTS + 1)
    headline = hits.where(raw("page_texts.headline").op("@@")(wanted)).cte("headline")
    is_enough = select(func.count() > MOST_RESULTS).select_from(headline).scalar_subquery()
    others = hits.where(search.op("@@")(wanted), ~is_enough).subquery()
    ranks = [select(one.c.id, one.c.slug, rank(one.c.search, ranking).label("rank")) for one in (headline, others)]
    ranked = union(*ranks).subquery()
    first = select(ranked).order_by(ranked.c.rank.desc(), ranked.c.slug).limit(limit).offset(offset).subquery("first")
    best = select(first.c.slug, first.c.rank, PageText.body).join(PageText, PageText.id == first.c.id).subquery("best")
    options = (
        f'StartSel="{MARK_START}", StopSel="{MARK_END}", MaxFragments=1, FragmentDelimiter="…", '
        f"MaxWords={_SNIPPET_WORDS}, MinWords={_SNIPPET_WORDS // 2}"
    )
    # The subquery limits the rows first, so that snippets are made only for those shown.
    marked = func.ts_headline("simple", best.c.body, ranking, options)
    snippet = _window(best.c.body, pieces, func.strpos) if any(piece.letters for piece in pieces) else marked
    return select(best.c.slug, snippet.label("snippet")).order_by(best.c.rank.desc(), best.c.slug)


def _are_adjacent(piece: Piece, search: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a row has the letters of a piece as a phrase.

    A tsvector keeps at most 256 positions of a letter, and none beyond 16,383: then the text itself is searched.
    """
    phrase = " <-> ".join(f"'{remove_accents(letter)}'" for letter in piece.letters)
    return or_(search.op("@@")(func.to_tsquery("simple", phrase)), _contains(piece, func.strpos))
