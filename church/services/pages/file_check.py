"""Compare a page with its file before it is shown, so that one that was closed is never shown by an older row."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from church.lib.threads import run_off_hub
from church.services.access import Access
from church.services.pages.folder import find_stamp, read_file
from church.services.pages.front_matter import InvalidPageError, Page, PageFacts, load_parser, make_slug
from church.services.pages.render import ChangedPageError
from church.services.pages.shelf import Shelf

_FRESH_SECONDS = 1.0
_MOST_KEPT = 20_000
_LEVELS = list(Access)  # from open to closed


class FileCheck:
    """Finds out whether pages are as their rows say; each file is looked at once a second at most."""

    def __init__(self, shelf: Shelf, clock: Callable[[], float] = time.monotonic) -> None:
        self._shelf = shelf
        self._clock = clock
        self._seen: dict[str, tuple[float, PageFacts, PageFacts | None]] = {}  # when, the row, and what is true

    def confirm(self, page: PageFacts) -> PageFacts | None:
        """Return the page as its file is now, and no more open than its row; None if it is no page any more."""
        found = self.confirm_all([page])
        return found[0] if found else None

    def confirm_all(self, pages: Iterable[PageFacts]) -> list[PageFacts]:
        """Return those of ``pages`` that are pages still, as their files are now."""
        pages, now = list(pages), self._clock()
        true = {page.stamp.path: self._seen[page.stamp.path][2] for page in pages if self._is_fresh(page, now)}
        unsure = [page for page in pages if page.stamp.path not in true]
        if unsure:
            load_parser()
            found = run_off_hub(_look_at_all, self._shelf.root, unsure, self._shelf.now())
            if len(self._seen) > _MOST_KEPT:
                self._seen.clear()
            for page, now_true in zip(unsure, found, strict=True):
                true[page.stamp.path] = now_true
                self._seen[page.stamp.path] = now, page, now_true
                if page is not now_true:
                    self._shelf.doubt()
        return [one for page in pages if (one := true[page.stamp.path]) is not None]

    def _is_fresh(self, page: PageFacts, now: float) -> bool:
        seen = self._seen.get(page.stamp.path)
        return seen is not None and 0 <= now - seen[0] < _FRESH_SECONDS and seen[1] == page

    def watch(self, pages: list[PageFacts]) -> Callable[[], bool]:
        """Return a function that says whether the files of ``pages`` are as they were; looks once a second at most."""
        look_at = 0.0

        def is_current() -> bool:
            nonlocal look_at
            now = self._clock()
            if now < look_at:
                return True
            look_at = now + _FRESH_SECONDS
            return self.confirm_all(pages) == pages

        return is_current

    def forget(self, page: PageFacts) -> None:
        """Look at the file of ``page`` again when it is next asked for."""
        self._seen.pop(page.stamp.path, None)

    def is_published(self, page: PageFacts) -> bool:
        """Whether visitors know of ``page``; in development of drafts, too."""
        return not page.to_come and (self._shelf.drafts or not page.draft)

    def read_unlisted(self, slug: str) -> PageFacts | None:
        """Read the page at ``slug`` from its file, while the rows are made for the first time."""
        load_parser()
        return run_off_hub(_read_slug, self._shelf.root, slug, self._shelf.now())


def load_page(root: Path, page: PageFacts) -> Page:
    """Read the text of ``page``. Raises ChangedPageError if its file is not as it was looked up."""
    if isinstance(page, Page):
        return page
    try:
        found = read_file(os.path.realpath(root), page.stamp.path).found
    except OSError as error:
        raise ChangedPageError(page.stamp.path) from error
    if not isinstance(found, Page) or found.digest != page.digest:
        raise ChangedPageError(page.stamp.path)
    return found


def _look_at_all(root: Path, pages: list[PageFacts], now: dt.datetime) -> list[PageFacts | None]:
    real = os.path.realpath(root)
    return [_look_at(real, page, now) for page in pages]


def _look_at(root: str, page: PageFacts, now: dt.datetime) -> PageFacts | None:
    try:
        if find_stamp(root, page.stamp.path) == page.file:
            return page
        found = read_file(root, page.stamp.path).found
    except OSError:  # a temporary problem of the host
        return page
    if not isinstance(found, Page):
        return None
    return replace(
        found,
        access=max(page.access, found.access, key=_LEVELS.index),
        draft=page.draft or found.draft,
        to_come=page.to_come or _is_to_come(found, now),
        updated=page.updated,
    )


def _read_slug(root: Path, slug: str, now: dt.datetime) -> Page | None:
    try:
        if make_slug(slug) != slug or any(part.startswith(".") for part in slug.split("/")):
            return None
        found = read_file(os.path.realpath(root), f"{slug}.md").found
    except (InvalidPageError, OSError, ValueError):
        return None
    return replace(found, to_come=_is_to_come(found, now)) if isinstance(found, Page) else None


def _is_to_come(page: Page, now: dt.datetime) -> bool:
    return page.opens is not None and page.opens > now
