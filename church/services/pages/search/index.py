"""Keep the search index: write the text of the pages that changed, and of no others.

Each row of the index has the digest of the file that it was made of. A host that has the same files changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.orm import Session

from church.database import Database
from church.database.upsert import count_rows, insert_or_ignore
from church.models.base import plain
from church.models.pages import PageText
from church.services import live_broadcast
from church.services.access import Access
from church.services.pages.front_matter import PageFacts
from church.services.pages.library import Library
from church.services.pages.page_reports import RenderedPage, list_failed, list_unrendered, store_rendered
from church.services.pages.render import ChangedPageError, Rendered, RenderError
from church.services.pages.search.words import index_text, show_text

log = logging.getLogger("church.pages")

_FORMAT = "1"  # of the rows: those of another one are made anew
_BATCH = 50  # pages in a transaction
_AT_ONCE = 500  # pages that are looked up at once
_TEXTS = ("title", "summary", "tags", "body", "access")

Render = Callable[[PageFacts], Rendered]
Row = dict[str, str]
Rows = dict[tuple[str, str], Row]


def _row(page: PageFacts, body: str) -> Row:
    facts = {"title": page.title, "summary": page.summary, "tags": " ".join(page.tags), "body": body}
    row = {name: index_text(plain(text)) for name, text in facts.items()}
    return row | {"access": page.access.value, "stamp": _stamp(page)}


def make_open_row(page: PageFacts, rendered: Rendered) -> Row:
    """Make the row with the public part of a restricted page: readers without access may find the page by it."""
    return _row(page, "\n".join((rendered.opening_text, *rendered.headings)).strip())


def is_of_page(row: PageText, page: PageFacts) -> bool:
    """Whether a row of the index was made of this version of the page."""
    return row.stamp == _stamp(page) and row.access == page.access.value


def has_texts(row: PageText, wanted: Row) -> bool:
    """Whether a row of the index has these texts, and this level."""
    return all(getattr(row, name) == wanted[name] for name in _TEXTS)


def make_rows(page: PageFacts, rendered: Rendered) -> Rows:
    """Make the rows of a page by (slug, scope): "full" the whole text, "open" the public part if restricted."""
    rows = {(page.slug, "full"): _row(page, rendered.text)}
    if page.access is not Access.PUBLIC:
        rows[page.slug, "open"] = make_open_row(page, rendered)
    return rows


def _stamp(page: PageFacts) -> str:
    return f"{_FORMAT}:{page.digest}"


class SearchIndex:
    """One update of the index from ``library``. ``render`` renders a page, without keeping it.

    ``is_current`` says of a picture, by its path and stamp, whether it is as it was when a page was rendered.
    """

    def __init__(
        self,
        db: Database,
        library: Library,
        render: Render,
        is_current: Callable[[str, tuple[int, int] | None], bool],
    ) -> None:
        self._db = db
        self._library = library
        self._rows = library.rows
        self._render = render
        self._is_current = is_current
        self._announce = False

    def update(self) -> int:
        """Bring the index up to date. Returns how many rows changed. Raises DatabaseDownError, sqlite3.Error."""
        with self._db.read() as session:
            indexed = dict(session.execute(select(PageText.slug, PageText.stamp).where(PageText.scope == "full")).all())
        # A first update may be cut off half-way, and the next one would announce all pages of the other half.
        self._announce = bool(indexed) and self._rows.read("SELECT 1 FROM facts WHERE name = 'indexed'") != []
        unrendered = list_unrendered(self._rows, self._is_current)
        failed = list_failed(self._rows) - unrendered
        present: set[str] = set()
        due: list[PageFacts] = []
        for page in _walk(self._library):
            if page.stamp.path in failed:
                continue
            present.add(page.slug)
            if page.stamp.path in unrendered or indexed.get(page.slug) != _stamp(page):
                due.append(page)
        changed = self._index_all(due) + self._remove(sorted(indexed.keys() - present))
        self._note_unpublished(unrendered)
        with self._rows.write() as connection:
            connection.execute("INSERT OR REPLACE INTO facts VALUES ('indexed', 1)")
        if changed:
            log.info("pages indexed", extra={"event": "pages.indexed", "rows": changed})
        return changed

    def _index_all(self, due: Sequence[PageFacts]) -> int:
        """Index pages in short transactions. Many new ones are announced together, at the end."""
        changed, titles, is_one = 0, dict[str, str](), len(due) <= _BATCH
        for at in range(0, len(due), _BATCH):
            written = self._index(due[at : at + _BATCH], announce=self._announce and is_one)
            changed += written.changed
            titles |= written.titles
        if titles and self._announce and not is_one:
            with self._db.write() as session:
                live_broadcast.notify_new_pages(session, titles)
        return changed

    def _index(self, pages: Sequence[PageFacts], *, announce: bool) -> Written:
        rendered = list(self._render_all(pages))
        rows: Rows = {}
        for each in rendered:
            rows |= make_rows(each.page, each.rendered) if each.rendered is not None else {}
        written = write_rows(self._db, rows, announce=announce) if rows else Written(0, {})
        removed = self._remove([each.page.slug for each in rendered if each.rendered is None])
        store_rendered(self._rows, rendered)
        return Written(written.changed + removed, written.titles)

    def _render_all(self, pages: Sequence[PageFacts]) -> Iterator[RenderedPage]:
        for page in pages:
            try:
                yield RenderedPage(page, self._render(page))
            except ChangedPageError:
                continue  # the look at the folder that finds it queues the next update
            except RenderError as error:
                facts = {"event": "pages.unrenderable", "page": page.slug, "reason": str(error)}
                log.error("page not rendered", extra=facts)  # noqa: TRY400 - the author needs the reason, not our stack
                yield RenderedPage(page, None)

    def _remove(self, slugs: Sequence[str]) -> int:
        removed = 0
        for at in range(0, len(slugs), _AT_ONCE):
            with self._db.write() as session:
                found = session.execute(delete(PageText).where(PageText.slug.in_(slugs[at : at + _AT_ONCE])))
                removed += count_rows(found)
        return removed

    def _note_unpublished(self, unrendered: Collection[str]) -> None:
        """Render the unpublished pages that changed: their authors should know what is wrong, too."""
        due = [page for page in self._library.unpublished() if page.stamp.path in unrendered]
        for at in range(0, len(due), _BATCH):
            store_rendered(self._rows, list(self._render_all(due[at : at + _BATCH])))


def _walk(library: Library) -> Iterator[PageFacts]:
    after: str | None = None
    while pages := library.by_slug(after, _AT_ONCE):
        yield from pages
        after = pages[-1].slug


@dataclass(frozen=True)
class Written:
    """How many rows were changed, and the titles of the pages that are new, by slug."""

    changed: int
    titles: dict[str, str]


def write_rows(db: Database, wanted: Rows, *, announce: bool = True) -> Written:
    """Write the rows of some pages in one transaction, those that differ.

    Live pages get a notice of each new page, if they are to ``announce`` it. Two hosts may do this at once: both write
    the rows in one order, and a row that the other has added is updated.
    """
    changed, added = 0, set()
    slugs = sorted({slug for slug, _ in wanted})
    with db.write() as session:
        found = session.scalars(select(PageText).where(PageText.slug.in_(slugs)))
        existing = {(row.slug, row.scope): row for row in found}
        for key in sorted(existing.keys() | wanted.keys()):
            if key not in wanted:
                session.execute(delete(PageText).where(_has_key(*key)))
            elif key in existing and has_texts(existing[key], wanted[key]):
                existing[key].stamp = wanted[key]["stamp"]
                continue
            elif _store_row(session, *key, wanted[key]):
                added.add(key[0])
            changed += 1
        new = added - {slug for slug, _ in existing}
        titles = {slug: show_text(wanted[slug, "full"]["title"]) for slug in new}
        if announce:
            live_broadcast.notify_new_pages(session, titles)
    return Written(changed, titles)


def _has_key(slug: str, scope: str) -> ColumnElement[bool]:
    return and_(PageText.slug == slug, PageText.scope == scope)


def _store_row(session: Session, slug: str, scope: str, values: Row) -> bool:
    """Insert or update a row. Returns whether it is new."""
    if insert_or_ignore(session, PageText, {"slug": slug, "scope": scope, **values}, unique=["slug", "scope"]):
        return True
    session.execute(
        update(PageText).where(_has_key(slug, scope)).values(values).execution_options(synchronize_session=False)
    )
    return False
