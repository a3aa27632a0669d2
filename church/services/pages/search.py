"""Search the pages: write the index, and find pages without revealing text that a reader has no access to."""

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

MOST_QUERY = 200  # characters of a query; the rest is ignored
MOST_RESULTS = 50
_MOST_ROWS = 4 * MOST_RESULTS  # before stale rows and other tags are left out

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

    Live pages get a notice of each new page, unless the index was empty.
    """
    changed = 0
    with db.write() as session:
        existing = {(row.slug, row.scope): row for row in session.scalars(select(PageText))}
        if indexed := {slug for slug, _ in existing}:
            live_broadcast.notify_new_pages(
                session, {slug: row["title"] for (slug, _), row in wanted.items() if slug not in indexed}
            )
        for key in existing.keys() - wanted.keys():
            session.delete(existing[key])
            changed += 1
        for (slug, scope), values in wanted.items():
            row = existing.get((slug, scope))
            if row is None:
                session.add(PageText(slug=slug, scope=scope, **values))
            elif _is_equal(row, values):
                continue
            else:
                for name, value in values.items():
                    setattr(row, name, value)
            changed += 1
    if changed:
        log.info("pages indexed", extra={"event": "pages.indexed", "rows": changed})
    return changed


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
