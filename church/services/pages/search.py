"""The pages in the search: what of them is written to the index, and who is shown what from it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from markupsafe import Markup, escape
from sqlalchemy import select
from sqlalchemy.orm import Session

from church.database import Database
from church.models.base import MARK_END, MARK_START, plain
from church.models.pages import PageText, search_statement
from church.services import live_broadcast
from church.services.access import Access, Reader, may_read
from church.services.pages.front_matter import Page
from church.services.pages.library import Library
from church.services.pages.render import Rendered, RenderError

log = logging.getLogger("church.pages")

MOST_QUERY = 200  # characters of a query that are looked at
MOST_RESULTS = 50
_MOST_ROWS = 4 * MOST_RESULTS  # before stale rows and other tags are left out

Render = Callable[[Page], Rendered]
_Row = dict[str, str]


def _row(page: Page, body: str) -> _Row:
    facts = {"title": page.title, "summary": page.summary, "tags": " ".join(page.tags), "body": body}
    return {name: plain(text) for name, text in facts.items()} | {"access": page.access.value}


def _open_row(page: Page, rendered: Rendered) -> _Row:
    """What everybody may see of a page that is not public, and so may be found by."""
    return _row(page, "\n".join((rendered.opening_text, *rendered.headings)).strip())


def _same(row: PageText, wanted: _Row) -> bool:
    return all(getattr(row, name) == value for name, value in wanted.items())


def wanted_rows(library: Library, render: Render) -> dict[tuple[str, str], _Row]:
    """All rows of the index by (slug, scope): the whole text, and the open part where only some may read it."""
    rows: dict[tuple[str, str], _Row] = {}
    for page in library.pages:
        try:
            rendered = render(page)
        except RenderError:
            continue  # said in the log by the cache
        rows[page.slug, "full"] = _row(page, rendered.text)
        if page.access is not Access.PUBLIC:
            rows[page.slug, "open"] = _open_row(page, rendered)
    return rows


def write_rows(db: Database, wanted: dict[tuple[str, str], _Row]) -> int:
    """Make the index equal ``wanted`` in one transaction; only what differs is written. Returns how many rows.

    Who is on a live page is told of the pages that came, unless all are new.
    """
    changed = 0
    with db.write() as session:
        existing = {(row.slug, row.scope): row for row in session.scalars(select(PageText))}
        if known := {slug for slug, _ in existing}:
            live_broadcast.new_pages(
                session, {slug: row["title"] for (slug, _), row in wanted.items() if slug not in known}
            )
        for key in existing.keys() - wanted.keys():
            session.delete(existing[key])
            changed += 1
        for (slug, scope), values in wanted.items():
            row = existing.get((slug, scope))
            if row is None:
                session.add(PageText(slug=slug, scope=scope, **values))
            elif _same(row, values):
                continue
            else:
                for name, value in values.items():
                    setattr(row, name, value)
            changed += 1
    if changed:
        log.info("pages indexed", extra={"event": "pages.indexed", "rows": changed})
    return changed


def find(
    db: Database, library: Library, render: Render, query: str, *, reader: Reader, tag: str | None
) -> list[tuple[Page, Markup | None]]:
    """The pages that have every word of ``query``, best first, each with where it was found.

    The index may be seconds behind the folder. A page that is gone, or closed to ``reader`` while its rows were
    written when more of it was open, is left out. Raises DatabaseDownError and DatabaseBusyError.
    """
    levels = [level.value for level in Access if may_read(level, reader)]
    with db.read() as session:
        statement = search_statement(session.get_bind().dialect.name, query[:MOST_QUERY], levels, _MOST_ROWS)
        if statement is None:
            return []
        hits = [(str(hit["slug"]), hit["snippet"]) for hit in session.execute(statement).mappings()]
        rows = _open_rows(session, library, reader, [slug for slug, _ in hits])
    found = [
        (page, _snippet(snippet))
        for slug, snippet in hits
        if (page := library.by_slug.get(slug)) is not None
        and (tag is None or tag in page.tags)
        and (may_read(page.access, reader) or _is_fresh(page, rows.get(slug), render))
    ]
    return found[:MOST_RESULTS]


def _open_rows(session: Session, library: Library, reader: Reader, slugs: Sequence[str]) -> dict[str, PageText]:
    """The open rows of those pages that are closed to ``reader``."""
    closed = [slug for slug in slugs if (page := library.by_slug.get(slug)) and not may_read(page.access, reader)]
    if not closed:
        return {}
    wanted = select(PageText).where(PageText.slug.in_(closed), PageText.scope == "open")
    return {row.slug: row for row in session.scalars(wanted)}


def _is_fresh(page: Page, row: PageText | None, render: Render) -> bool:
    """Whether the rows of a page that is closed to the reader say no more than what is open of it now.

    Both rows of a page are written together, so the open one tells of the other.
    """
    try:
        return row is not None and _same(row, _open_row(page, render(page)))
    except RenderError:
        return False


def _snippet(text: str | None) -> Markup | None:
    """The text around the words, with them in <mark>; None if they are in title, summary or tags alone."""
    if not text or MARK_START not in text:
        return None
    marked = str(escape(text)).replace(MARK_START, "<mark>").replace(MARK_END, "</mark>")
    return Markup(marked)  # noqa: S704 - escaped before the marks were put in
