"""The pages of the site: list, read and search them, make feeds, and keep the search index up to date.

Works without a database, except the search and its index.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sqlalchemy.exc import SQLAlchemyError

from church import jobs, telemetry
from church.config import Settings
from church.database import Database
from church.errors import UnavailableError
from church.extensions import db
from church.lib.app_context import App, app_state
from church.lib.threads import run_off_hub, start_beside
from church.models.base import utc_now
from church.services.access import ANONYMOUS, Access, Reader, may_read, may_read_drafts
from church.services.pages import feeds, presenters, watch
from church.services.pages.feeds import FeedItem
from church.services.pages.file_check import FileCheck, load_page
from church.services.pages.folder import FileProblem
from church.services.pages.front_matter import PageFacts, compose_letters
from church.services.pages.library import Library, MonthCount, TagCount
from church.services.pages.page_reports import (
    FolderReport,
    PageReport,
    PageReports,
    check_pages,
    list_changed_pictures,
    read_known,
)
from church.services.pages.pictures.files import OpenPicture, PictureError, PictureFolder, PictureVersion, is_valid_path
from church.services.pages.pictures.placed import make_addresses_absolute
from church.services.pages.pictures.use import PictureUse, PictureWatch
from church.services.pages.presenters import FoundPages, PageCard, PagePart, PageView, TeaserView, make_key, read_key
from church.services.pages.render import (
    ChangedPageError,
    RenderCache,
    Rendered,
    RenderError,
    load_renderer,
    render_page,
)
from church.services.pages.search import find as pages_search
from church.services.pages.search.index import SearchIndex
from church.services.pages.shelf import Shelf, read_apart

log = logging.getLogger("church.pages")

_INDEX = "pages.index"
_INDEX_EVERY = timedelta(minutes=5)
_INDEX_AGAIN = timedelta(seconds=10)  # while another thread or process of the host indexes
_COMPARE_EVERY = 3600.0  # seconds; rows may change by other ways: another host, or a database that was restored
_RECENT = 6
_FEED_ENTRIES = 20
_FIRST_SECONDS = 0.5  # of reading a new folder before the site answers
_MOST_TRIES = 3  # of reading a file that changes meanwhile


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
    """The pages of one content folder. Calls ``on_change`` when this process finds the folder changed.

    ``instance`` is where the processes of a host keep what they share of the pages.
    """

    def __init__(
        self,
        content: Path,
        *,
        drafts: bool,
        on_change: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        instance: Path | None = None,
    ) -> None:
        self.shelf = Shelf(content, drafts=drafts, clock=clock, now=now, instance=instance, on_change=on_change)
        self._now = now
        self._clock = clock
        self._indexed: tuple[int, float] | None = None  # the version that all rows were compared with, and when
        self._pictures = PictureFolder(content)
        self._reports = PageReports(self.shelf.rows)
        self._files = FileCheck(self.shelf, clock)
        self._watch = PictureWatch(self._pictures, clock)
        self._cache = RenderCache(renderer=self._render, is_current=self._watch.is_current)
        self._picture_use = PictureUse(self._cache.get)
        self._linked: tuple[str, dict[str, bool]] = ("", {})

    def _render(self, page: PageFacts) -> Rendered:
        rendered = render_page(load_page(self.shelf.root, page), self._pictures.find)
        self._reports.note(page, rendered.notices)
        return rendered

    def library(self) -> Library:
        """Return all pages as they are now, or seconds ago where no worker process watches the folder."""
        return self.shelf.current()

    def refresh(self) -> None:
        """Look at the whole folder now, for a command that follows an edit."""
        self.shelf.refresh()

    def is_complete(self) -> bool:
        """Return whether the whole folder was read once: until then pages are missing in lists and feed."""
        return self.library().is_complete

    def version(self) -> str:
        """Return what changes with the pages, at once on this host. Takes a microsecond: for every request."""
        return self.shelf.version()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Answer by the rows as they are, look at no folder, and leave no file open: in a process before it forks."""
        self.shelf.is_resting = True
        try:
            self.shelf.prepare(_FIRST_SECONDS)
            yield
        finally:
            self.shelf.is_resting = False
            self.shelf.rows.close()

    def read_new_folder(self) -> None:
        """Read a folder that has no rows yet, half a second at most, and leave no file open: in a process that ends."""
        with self.resting():
            pass

    def watch_files(self, slug: str | None = None) -> Callable[[], bool]:
        """Return a function that says whether a page, or all those of the feed, and their pictures are as they are now.

        Looks at the files once a second at most, also where nobody watches the folder. Call it before the page is made.
        """
        library = self.library()
        found = library.newest(_FEED_ENTRIES, drafts=False) if slug is None else [library.find(slug)]
        shown = [page for page in found if page is not None]
        versions: list[PictureVersion] = []
        for page in shown:
            if may_read(page.access, ANONYMOUS):
                with suppress(RenderError, ChangedPageError):
                    versions += self._cache.get(page).pictures
        is_current = self._files.watch(shown)
        return lambda: is_current() and self._watch.is_current(versions)

    def problems(self, limit: int = -1) -> tuple[FileProblem, ...]:
        """List the files of the content folder that are not served, each with the reason."""
        return self.library().problems(limit)

    def count_problems(self) -> int:
        """Count the files of the content folder that are not served."""
        return self.library().count_problems()

    def count(self, tag: str | None = None) -> int:
        """Count the pages that everyone sees, their public part at least; those with ``tag`` or all."""
        return self.library().count_with(tag)

    def recent(self) -> list[PageCard]:
        """List the newest pages, for the home page."""
        return [presenters.make_card(page) for page in self.library().newest(_RECENT)]

    def part(
        self,
        after: str | None = None,
        before: str | None = None,
        *,
        tag: str | None = None,
        limit: int = 50,
        from_day: date | None = None,
        reader: Reader = ANONYMOUS,
    ) -> PagePart:
        """List ``limit`` pages, newest first: those after or before a key of another part, or from a day on.

        Admins get the unpublished ones too. Raises ValueError for a key that no list has given.
        """
        library = self.library()
        is_admin = may_read_drafts(reader)
        key = before if after is None else after
        place = read_key(key) if key is not None else None
        is_back = after is None and before is not None
        if place is None and from_day is not None:
            place = -from_day.toordinal(), ""
        found = library.part(place, limit, tag=tag, back=is_back, all_states=is_admin)
        if is_back and len(found.pages) < limit:  # the start of the list, which should be full
            found = library.part(None, limit, tag=tag, all_states=is_admin)
        total = library.count_with(tag) + (library.count_unpublished(tag) if is_admin else 0)
        return PagePart(
            [presenters.make_card(page) for page in found.pages],
            next=make_key(found.pages[-1]) if found.pages and found.has_older else None,
            previous=make_key(found.pages[0]) if found.pages and found.has_newer else None,
            total=total,
        )

    def cards(self, tag: str | None = None, reader: Reader = ANONYMOUS) -> list[PageCard]:
        """List all pages, or those with ``tag``, newest first; for an admin the unpublished ones too."""
        return self.part(tag=tag, limit=sys.maxsize - 1, reader=reader).cards

    def list_newest(self, access: Access, limit: int) -> list[PageCard]:
        """List the newest pages of one access level, without drafts."""
        return [presenters.make_card(page) for page in self.library().newest(limit, access=access, drafts=False)]

    def tags(self) -> tuple[TagCount, ...]:
        """List the tags by name, each with how many pages have it."""
        return self.library().tags

    def months(self, tag: str | None = None) -> tuple[MonthCount, ...]:
        """Count the pages of each month, newest first; those with ``tag`` or all."""
        return self.library().months(tag)

    def search(
        self, db: Database, query: str, reader: Reader, tag: str | None = None, *, offset: int = 0, limit: int = 20
    ) -> FoundPages:
        """Find the pages with every word of ``query`` in text that ``reader`` has access to, best first.

        For an admin the unpublished ones come before. Raises DatabaseDownError, DatabaseBusyError.
        """
        library = self.library()
        wanted = pages_search.Wanted(query, reader, tag, offset, limit)
        found = pages_search.find_pages(db, library, wanted, self._files.confirm_all, self._cache.get)
        cards = [presenters.make_card(page, snippet) for page, snippet in found.pages]
        if may_read_drafts(reader) and not offset:
            drafts = run_off_hub(pages_search.find_unpublished, self.shelf.root, library, query, tag)
            cards = [*(presenters.make_card(page) for page in drafts), *cards]
        most = pages_search.MOST_RESULTS if found.is_cut else None
        return FoundPages(cards, found.next, max(0, offset - limit) if offset else None, most)

    def has_page(self, slug: str) -> bool:
        """Whether everyone knows of a page at ``slug``; looked up once a version, for the links of the layout."""
        version = self.version()
        if self._linked[0] != version:
            self._linked = version, {}
        linked = self._linked[1]
        if slug not in linked:
            linked[slug] = self.address(slug) is not None
        return linked[slug]

    def read(self, slug: str, reader: Reader, origin: str) -> PageView | TeaserView | None:
        """Return the page at ``slug``, or its teaser for readers without access, or None. Raises RenderError."""
        for _ in range(_MOST_TRIES):
            library = self.library()
            page = self._find(library, slug, reader)
            if page is None:
                return None
            try:
                with telemetry.span("content.render", access=str(page.access)):
                    rendered = self._cache.get(page)
            except ChangedPageError:
                self._files.forget(page)
                continue
            if not may_read(page.access, reader):
                return presenters.make_teaser(page, rendered, origin)
            return presenters.make_view(page, rendered, origin, *library.neighbours(page))
        raise RenderError("the file changes all the time")

    def _find(self, library: Library, slug: str, reader: Reader) -> PageFacts | None:
        """Find a page by its slug, as its file is now; an unpublished one for admins only."""
        page = library.find(slug, unpublished=may_read_drafts(reader))
        if page is not None:
            page = self._files.confirm(page)
        elif not library.is_complete:
            page = self._files.read_unlisted(slug)
        if page is None or may_read_drafts(reader) or self._files.is_published(page):
            return page
        return None

    def open_picture(self, path: str, reader: Reader) -> SentPicture | None:
        """Open the picture at ``path``; None if ``reader`` may not see it, or if there is none.

        A picture has the access of the pages that show it: who may read one of them may see it. One that no page shows
        is for admins only.
        """
        path = compose_letters(path)
        if not is_valid_path(path) or run_off_hub(self._pictures.look, path).stamp is None:
            return None
        shown = self._files.confirm_all(self._picture_use.find_pages(self.library(), path))
        pages = [page for page in shown if self._files.is_published(page)]
        is_public = any(may_read(page.access, ANONYMOUS) and not page.draft for page in pages)
        if not (is_public or may_read_drafts(reader) or any(may_read(page.access, reader) for page in pages)):
            return None
        try:
            return SentPicture(run_off_hub(self._pictures.open, path), is_public)
        except PictureError:
            return None

    def address(self, slug: str, reader: Reader = ANONYMOUS) -> str | None:
        """Return the path of the page at ``slug`` on the site; None if ``reader`` knows no such page."""
        page = self.library().find(slug, unpublished=may_read_drafts(reader))
        return presenters.page_path(page) if page is not None else None

    def feed(
        self, site_name: str, origin: str, places: Sequence[FeedItem] = (), *, subtitle: str = "", icon: str = ""
    ) -> bytes:
        """Write the Atom feed: the newest pages, the public ones whole, and the newest of ``places``."""
        newest = self._files.confirm_all(self.library().newest(_FEED_ENTRIES, drafts=False))
        entries = [self._feed_entry(page, origin) for page in newest if self._files.is_published(page)]
        return feeds.write_atom(entries, site_name, origin, places[:_FEED_ENTRIES], subtitle=subtitle, icon=icon)

    def _feed_entry(self, page: PageFacts, origin: str) -> feeds.FeedEntry:
        if not may_read(page.access, ANONYMOUS):
            return feeds.FeedEntry(page, None)
        try:
            return feeds.FeedEntry(page, make_addresses_absolute(self._cache.get(page).html, origin))
        except (RenderError, ChangedPageError):
            return feeds.FeedEntry(page, None)

    def sitemap_entries(self, after: str | None, limit: int) -> list[tuple[str, datetime]]:
        """List the addresses of pages without drafts, and when each changed: the first, or those after one."""
        slug = None if after is None else unquote(after).removeprefix("/pages/")
        return [(presenters.page_path(page), page.updated) for page in self.library().without_drafts(slug, limit)]

    def sitemap_entries_at(self, offset: int, limit: int) -> list[tuple[str, datetime]]:
        """List the addresses from a place in the order of ``sitemap_entries`` on."""
        found = self.library().without_drafts(None, limit, offset)
        return [(presenters.page_path(page), page.updated) for page in found]

    def sitemap_count(self) -> int:
        """Count the addresses of ``sitemap_entries``."""
        return self.library().count_without_drafts()

    def robots(self, origin: str) -> str:
        """Write robots.txt."""
        return feeds.write_robots(origin)

    def modified(self) -> float:
        """Return when the content folder last changed, in seconds since 1970."""
        return self.library().modified

    def to_come(self, limit: int = -1) -> tuple[PageCard, ...]:
        """List the pages that open by themselves at a time to come, the next one first."""
        return tuple(presenters.make_card(page) for page in self.library().to_come(limit))

    def count_to_come(self) -> int:
        """Count the pages that open by themselves at a time to come."""
        return self.library().count_to_come()

    def next_opening(self) -> Opening | None:
        """Return when the next page to come opens; None if there is none."""
        at = self.library().next_opening()
        return Opening(at, max(at - self._now(), timedelta(0))) if at is not None else None

    def reindex(self, db: Database, *, if_changed: bool = False) -> int:
        """Update the search index, and what authors should know: renders the pages that changed.

        Compares all rows; with ``if_changed`` only where pages or pictures changed, or an hour after this process did
        it. Returns how many rows changed. Raises DatabaseDownError.
        """
        library, now = self.library(), self._clock()
        self._watch.forget()
        if if_changed and self._is_indexed(library, now):
            return 0
        changed = SearchIndex(db, library, self._render_unkept, self._watch.is_version).update()
        self._indexed = library.version, now
        return changed

    def _is_indexed(self, library: Library, now: float) -> bool:
        """Whether nothing changed since this process compared all rows, less than an hour ago."""
        if self._indexed is None or self._indexed[0] != library.version or now - self._indexed[1] >= _COMPARE_EVERY:
            return False
        return not list_changed_pictures(library.rows, self._watch.is_version)

    def _render_unkept(self, page: PageFacts) -> Rendered:
        load_renderer()
        return run_off_hub(self._render, page)

    def reports(self) -> tuple[PageReport, ...]:
        """List the pages that were changed by cleaning, or miss pictures, as of the last index, by path."""
        self.library()
        return self._reports.list_reports()


def init_app(app: App) -> None:
    """Set up the pages of ``app``, by its settings. When the folder changes, a job updates the search index."""
    settings: Settings = app.config["CHURCH"]

    def queue_in_thread() -> None:
        # In a thread: the page view that found the change must not wait for a busy database, nor fail without one.
        start_beside("pages-notice", queue_index, app)

    app.extensions["pages"] = Pages(
        settings.content,
        drafts=not settings.production,
        on_change=queue_in_thread,
        instance=settings.instance,
    )


@dataclass(frozen=True)
class ContentReport:
    """How many pages a content folder has, and which of its files are not served, with the reason."""

    pages: int
    drafts: int
    to_come: int
    problems: tuple[FileProblem, ...]


def check_folder(settings: Settings) -> ContentReport:
    """Read the content folder once, as production does, and change nothing. Raises OSError."""
    library = read_apart(settings.content, drafts=False, instance=settings.instance)
    to_come = library.count_to_come()
    return ContentReport(library.count, library.count_unpublished() - to_come, to_come, library.problems())


def report_on_folder(settings: Settings, seconds: float) -> FolderReport:
    """Report what authors should know of the content folder, by the last index and within ``seconds``, without an app.

    Raises OSError.
    """
    library = read_apart(settings.content, drafts=True, instance=settings.instance)
    find_picture = PictureFolder(settings.content).find
    pages = (*library.newest(-1), *library.unpublished())
    return check_pages(
        pages,
        read_known(library.rows),
        lambda page: render_page(load_page(settings.content, page), find_picture),
        seconds,
    )


def current_pages() -> Pages:
    """Return the pages of the current app."""
    pages: Pages = app_state()["pages"]
    return pages


def start_watcher(app: App, stop: threading.Event) -> threading.Thread:
    """Watch the content folder of ``app`` in a thread, until ``stop`` is set."""
    pages: Pages = app.extensions["pages"]
    return watch.start_watcher(pages.shelf, stop)


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
    if not pages.library().is_complete:
        return  # who reads the folder for the first time queues this again
    with pages.shelf.rows.lock(".index") as is_ours:
        if not is_ours:  # the first index of a large folder takes minutes
            with db.write() as session:
                jobs.enqueue(session, _INDEX, unique_key=f"{_INDEX} later", delay=_INDEX_AGAIN)
            return
        pages.reindex(db, if_changed=True)
    opening = pages.next_opening()
    if opening is not None and opening.wait <= _INDEX_EVERY:
        with db.write() as session:
            jobs.enqueue(session, _INDEX, unique_key=f"{_INDEX} {opening.at.isoformat()}", delay=opening.wait)
