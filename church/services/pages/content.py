"""The pages of the site: list, read and search them, make feeds, and keep the search index up to date.

Works without a database, except the search and its index.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from church import jobs, telemetry
from church.config import Settings
from church.database import Database
from church.errors import UnavailableError
from church.extensions import db
from church.lib.app_context import App, app_state
from church.lib.threads import run_off_hub
from church.models.base import utc_now
from church.services.access import ANONYMOUS, Access, Reader, may_read, may_read_drafts
from church.services.pages import feeds, presenters
from church.services.pages import search as pages_search
from church.services.pages.feeds import FeedItem
from church.services.pages.folder import ContentFolder, scan_folder
from church.services.pages.front_matter import Page, compose_letters
from church.services.pages.library import FileProblem, Library, TagCount
from church.services.pages.page_reports import FolderReport, PageReport, PageReports, check_pages, read_notices
from church.services.pages.picture_use import PictureUse, PictureWatch
from church.services.pages.pictures import OpenPicture, PictureError, PictureFolder, is_valid_path
from church.services.pages.placed_pictures import make_addresses_absolute
from church.services.pages.presenters import PageCard, PageView, TeaserView
from church.services.pages.render import RenderCache, Rendered, RenderError, render_page

log = logging.getLogger("church.pages")

_INDEX = "pages.index"
_REPORTS = "page-reports.json"  # in the instance folder
_INDEX_EVERY = timedelta(minutes=5)
_RECENT = 6
_FEED_ENTRIES = 20


@dataclass(frozen=True)
class Opening:
    """When a page to come opens, and how long that is from now."""

    at: datetime
    wait: timedelta


@dataclass(frozen=True)
class SentPicture:
    """A picture for a reader who may see it, and whether everyone may. The caller closes its file."""

    opened: OpenPicture
    is_public: bool


class Pages:
    """The pages of one content folder. Calls ``on_change`` when a scan finds the folder changed."""

    def __init__(
        self,
        content: Path,
        *,
        drafts: bool,
        on_change: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        marks: Path | None = None,
        reports: Path | None = None,
    ) -> None:
        self._shelf = ContentFolder(content, drafts=drafts, clock=clock, now=now, marks=marks)
        self._now = now
        self._pictures = PictureFolder(content)
        self._reports = PageReports(reports)
        self._cache = RenderCache(
            renderer=self._render,
            is_current=PictureWatch(self._pictures, clock).is_current,
        )
        self._picture_use = PictureUse(self._cache.get)
        self._on_change = on_change
        self._version_lock = threading.Lock()
        self._version = ""

    def _render(self, page: Page) -> Rendered:
        rendered = render_page(page, self._pictures.find)
        self._reports.note(page.stamp, rendered.notices)
        return rendered

    def library(self) -> Library:
        """Return all pages, at most a second old."""
        library = self._shelf.current()
        if library.version != self._version:
            with self._version_lock:
                previous, self._version = self._version, library.version
            if previous and previous != library.version and self._on_change is not None:
                self._on_change()
        return library

    def problems(self) -> tuple[FileProblem, ...]:
        """List the files of the content folder that are not served, each with the reason."""
        return self.library().problems

    def count(self) -> int:
        """Count the pages that everyone sees, their public part at least."""
        return len(self.library().pages)

    def recent(self) -> list[PageCard]:
        """List the newest pages, for the home page."""
        return [presenters.make_card(page) for page in self.library().pages[:_RECENT]]

    def cards(self, tag: str | None = None, reader: Reader = ANONYMOUS) -> list[PageCard]:
        """List all pages, or those with ``tag``, newest first; for an admin the unpublished ones come before."""
        library = self.library()
        pages = (*library.unpublished, *library.pages) if may_read_drafts(reader) else library.pages
        return [presenters.make_card(page) for page in pages if tag is None or tag in page.tags]

    def list_newest(self, access: Access, limit: int) -> list[PageCard]:
        """List the newest pages of one access level, without drafts."""
        newest = [page for page in self.library().pages if page.access == access and not page.draft]
        return [presenters.make_card(page) for page in newest[:limit]]

    def tags(self) -> tuple[TagCount, ...]:
        """List the tags by name, each with how many pages have it."""
        return self.library().tags

    def search(self, db: Database, query: str, reader: Reader, tag: str | None = None) -> list[PageCard]:
        """Find the pages with every word of ``query`` in text that ``reader`` has access to, best first.

        Raises DatabaseDownError, DatabaseBusyError.
        """
        library = self.library()
        results = pages_search.find_pages(db, library, self._cache.get, query, reader=reader, tag=tag)
        cards = [presenters.make_card(page, snippet) for page, snippet in results]
        if not may_read_drafts(reader):
            return cards
        drafts = pages_search.find_unpublished(library, query, tag)
        return [*(presenters.make_card(page) for page in drafts), *cards]

    def read(self, slug: str, reader: Reader, origin: str) -> PageView | TeaserView | None:
        """Return the page at ``slug``, or its teaser for readers without access, or None. Raises RenderError."""
        library = self.library()
        page = _find(library, slug, reader)
        if page is None:
            return None
        with telemetry.span("content.render", access=str(page.access)):
            rendered = self._cache.get(page)
        if not may_read(page.access, reader):
            return presenters.make_teaser(page, rendered, origin)
        return presenters.make_view(page, rendered, origin, *library.neighbours(page))

    def open_picture(self, path: str, reader: Reader) -> SentPicture | None:
        """Open the picture at ``path``; None if ``reader`` may not see it, or if there is none.

        A picture has the access of the pages that show it: who may read one of them may see it. One that no page shows
        is for admins only.
        """
        path = compose_letters(path)
        if not is_valid_path(path) or run_off_hub(self._pictures.look, path).stamp is None:
            return None
        library = self.library()
        pages = [page for page in self._picture_use.find_pages(library, path) if _is_served(library, page)]
        is_public = any(may_read(page.access, ANONYMOUS) and not page.draft for page in pages)
        if not (is_public or may_read_drafts(reader) or any(may_read(page.access, reader) for page in pages)):
            return None
        try:
            return SentPicture(run_off_hub(self._pictures.open, path), is_public)
        except PictureError:
            return None

    def address(self, slug: str, reader: Reader = ANONYMOUS) -> str | None:
        """Return the path of the page at ``slug`` on the site; None if ``reader`` knows no such page."""
        page = _find(self.library(), slug, reader)
        return presenters.page_path(page) if page is not None else None

    def feed(
        self, site_name: str, origin: str, places: Sequence[FeedItem] = (), *, subtitle: str = "", icon: str = ""
    ) -> bytes:
        """Write the Atom feed: the newest pages, the public ones whole, and the newest of ``places``."""
        newest = [page for page in self.library().pages if not page.draft][:_FEED_ENTRIES]
        entries = [self._feed_entry(page, origin) for page in newest]
        return feeds.write_atom(entries, site_name, origin, places[:_FEED_ENTRIES], subtitle=subtitle, icon=icon)

    def _feed_entry(self, page: Page, origin: str) -> feeds.FeedEntry:
        if not may_read(page.access, ANONYMOUS):
            return feeds.FeedEntry(page, None)
        try:
            return feeds.FeedEntry(page, make_addresses_absolute(self._cache.get(page).html, origin))
        except RenderError:
            return feeds.FeedEntry(page, None)

    def sitemap(self, origin: str, places: Sequence[FeedItem] = ()) -> bytes:
        """Write the sitemap of all pages except drafts, and of ``places``."""
        pages = [page for page in self.library().pages if not page.draft]
        return run_off_hub(feeds.write_sitemap, pages, origin, places)

    def robots(self, origin: str) -> str:
        """Write robots.txt."""
        return feeds.write_robots(origin)

    def modified(self) -> float:
        """Return when the content folder last changed, in seconds since 1970."""
        return self.library().modified

    def to_come(self) -> tuple[PageCard, ...]:
        """List the pages that open by themselves at a time to come, the next one first."""
        pages = sorted((page for page in self.library().unpublished if page.to_come), key=lambda page: page.published)
        return tuple(presenters.make_card(page) for page in pages)

    def next_opening(self) -> Opening | None:
        """Return when the next page to come opens; None if there is none."""
        at = self.library().next_opening
        return Opening(at, max(at - self._now(), timedelta(0))) if at is not None else None

    def reindex(self, db: Database) -> int:
        """Update the search index, and what authors should know. Returns how many rows changed.

        Raises DatabaseDownError.
        """
        library = self.library()
        rows = pages_search.make_rows(library, self._cache.get)
        for page in library.unpublished:
            with suppress(RenderError):
                self._cache.get(page)
        self._reports.save((*library.pages, *library.unpublished))
        return pages_search.write_rows(db, rows)

    def reports(self) -> tuple[PageReport, ...]:
        """List the pages that were changed by cleaning, or miss pictures, as of the last index, by path."""
        library = self.library()
        return self._reports.list_reports((*library.pages, *library.unpublished))


def _is_served(library: Library, page: Page) -> bool:
    """Whether visitors know of a page; in development of drafts, too."""
    served = library.by_slug.get(page.slug)
    return served is not None and served.stamp == page.stamp


def _find(library: Library, slug: str, reader: Reader) -> Page | None:
    """Find a page by its slug; an unpublished one for admins only."""
    page = library.by_slug.get(slug)
    if page is None and may_read_drafts(reader):
        return next((page for page in library.unpublished if page.slug == slug), None)
    return page


def init_app(app: App) -> None:
    """Set up the pages of ``app``, by its settings. When the folder changes, a job updates the search index."""
    settings: Settings = app.config["CHURCH"]

    def queue_in_thread() -> None:
        # In a thread: the page view that found the change must not wait for a busy database, nor fail without one.
        threading.Thread(target=queue_index, args=(app,), name="pages-notice", daemon=True).start()

    app.extensions["pages"] = Pages(
        settings.content,
        drafts=not settings.production,
        on_change=queue_in_thread,
        marks=settings.instance / "pages-left-out.json",
        reports=settings.instance / _REPORTS,
    )


@dataclass(frozen=True)
class ContentReport:
    """How many pages a content folder has, and which of its files are not served, with the reason."""

    pages: int
    drafts: int
    to_come: int
    problems: tuple[FileProblem, ...]


def check_folder(content: Path) -> ContentReport:
    """Read a content folder once, as production does. Raises OSError."""
    library = scan_folder(content, Library(), drafts=False)
    to_come = sum(page.to_come for page in library.unpublished)
    return ContentReport(len(library.pages), len(library.unpublished) - to_come, to_come, library.problems)


def report_on_folder(settings: Settings, seconds: float) -> FolderReport:
    """Report what authors should know of the content folder, by the last index and within ``seconds``, without an app.

    Raises OSError.
    """
    library = scan_folder(settings.content, Library(), drafts=True)
    known = read_notices(settings.instance / _REPORTS)
    render = partial(render_page, find_picture=PictureFolder(settings.content).find)
    return check_pages((*library.pages, *library.unpublished), known, render, seconds)


def current_pages() -> Pages:
    """Return the pages of the current app."""
    pages: Pages = app_state()["pages"]
    return pages


def queue_index(app: App) -> None:
    """Queue the job that updates the search index, once for all workers. Without a database, the schedule runs it."""
    try:
        with app.app_context(), db.write() as session:
            jobs.enqueue(session, _INDEX, unique_key=_INDEX)
    except (UnavailableError, SQLAlchemyError) as error:  # SQLAlchemyError: before the migrations
        log.warning("index not queued", extra={"event": "pages.index_not_queued", "reason": type(error).__name__})


@jobs.every(_INDEX_EVERY, _INDEX)
def index_pages(_payload: dict[str, Any]) -> None:
    """Update the search index. Runs every five minutes, when the folder has changed, and when a page opens."""
    pages = current_pages()
    pages.reindex(db)
    opening = pages.next_opening()
    if opening is not None and opening.wait <= _INDEX_EVERY:
        with db.write() as session:
            jobs.enqueue(session, _INDEX, unique_key=f"{_INDEX} {opening.at.isoformat()}", delay=opening.wait)
