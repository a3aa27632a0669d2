"""All pages of one scan of the content folder, in order, with the files that are not served and why."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from urllib.parse import unquote

from church.models.base import utc_now
from church.services.pages.front_matter import FileVersion, Page, read_time


@dataclass(frozen=True)
class FileProblem:
    """A file of the content folder that is not served, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class TagCount:
    """A tag and how many pages have it."""

    name: str
    count: int


@dataclass(frozen=True)
class ScannedFile:
    """A file of the content folder: its page, or why it is not served.

    ``ctime_ns`` is when the file system changed it, which nobody can set, unlike the mtime in ``stamp``.
    """

    stamp: FileVersion
    found: Page | FileProblem
    ctime_ns: int = 0


@dataclass(frozen=True)
class Library:
    """All pages at one moment, newest first. ``modified``: seconds since 1970 of the last change in the folder.

    ``unpublished`` are drafts and pages to come, which only admins may see; lists, feeds and the search index are made
    of ``pages``. ``next_opening`` is when the next page to come opens.
    """

    pages: tuple[Page, ...] = ()
    unpublished: tuple[Page, ...] = ()
    problems: tuple[FileProblem, ...] = ()
    by_slug: Mapping[str, Page] = field(default_factory=lambda: MappingProxyType({}))
    tags: tuple[TagCount, ...] = ()
    modified: float = 0.0
    version: str = ""
    next_opening: dt.datetime | None = None
    files: Mapping[str, ScannedFile] = field(default_factory=dict, repr=False)

    def stamp_of(self, path: str) -> FileVersion | None:
        """Return which version of the file at ``path`` was read."""
        file = self.files.get(path)
        return file.stamp if file is not None else None

    def neighbours(self, page: Page) -> tuple[Page | None, Page | None]:
        """Return the pages just older and just newer than ``page``."""
        if page not in self.pages:
            return None, None
        at = self.pages.index(page)
        older = self.pages[at + 1] if at + 1 < len(self.pages) else None
        return older, self.pages[at - 1] if at else None


def build_library(
    files: dict[str, ScannedFile], drafts: bool, modified: float, version: str, now: dt.datetime | None = None
) -> Library:
    """Build the library from the ``files`` of one scan. Of two files with the same address the first by name wins."""
    now = now or utc_now()
    by_slug: dict[str, Page] = {}
    unpublished: dict[str, Page] = {}
    problems: list[FileProblem] = []
    for path, file in files.items():
        if isinstance(file.found, FileProblem):
            problems.append(file.found)
            continue
        page = _make_current(file, file.found, now)
        if page.slug in by_slug:
            problems.append(FileProblem(path, f"{by_slug[page.slug].stamp.path} has the same address"))
        elif (drafts or not page.draft) and not page.to_come:
            by_slug[page.slug] = page
        else:
            unpublished.setdefault(page.slug, page)
    pages = _newest_first(by_slug.values())
    counted = Counter(tag for page in pages for tag in page.tags)
    return Library(
        pages=pages,
        unpublished=_newest_first(page for slug, page in unpublished.items() if slug not in by_slug),
        problems=tuple(problems),
        by_slug=MappingProxyType(by_slug),
        tags=tuple(TagCount(name, count) for name, count in sorted(counted.items())),
        modified=max((modified, *(page.opens.timestamp() for page in pages if page.opens))),
        version=version,
        next_opening=min((page.opens for page in unpublished.values() if page.opens and page.to_come), default=None),
        files=files,
    )


def _make_current(file: ScannedFile, page: Page, now: dt.datetime) -> Page:
    """Return ``page`` as it is at ``now``: perhaps to come, changed when it opened, and never at a time to come."""
    updated = page.updated if page.updated <= now else find_change(page.stamp.mtime_ns, file.ctime_ns, now)
    if page.opens is None:
        return page if updated == page.updated else replace(page, updated=updated, date=updated.date())
    if page.opens > now:
        return replace(page, to_come=True, updated=updated)
    updated = max(updated, page.opens)
    return page if updated == page.updated else replace(page, updated=updated)


def find_change(mtime_ns: int, ctime_ns: int, now: dt.datetime) -> dt.datetime:
    """Return when a file was last changed: its mtime if that has come, else its ctime, else the begin of today.

    A file that was written or copied under a clock that is ahead has an mtime to come. With that time the feed would be
    in the future for good; with ``now`` it would change with each answer.
    """
    for changed_at in (read_time(mtime_ns), read_time(ctime_ns)):
        if changed_at <= now and changed_at.timestamp() > 0:
            return changed_at
    return dt.datetime.combine(now.date(), dt.time(), dt.UTC)


def _newest_first(pages: Iterable[Page]) -> tuple[Page, ...]:
    return tuple(sorted(pages, key=lambda page: (-page.date.toordinal(), page.slug)))


_TRAVERSAL = re.compile(r"\.\.|[\\\x00\ufffd]|^/|//")
_WIDE = re.compile(r"%u([0-9a-f]{4})", re.IGNORECASE)  # JavaScript's escape(), which IIS decodes
_ROUNDS = 8
_MOST_READ = 2000


def looks_like_traversal(slug: str) -> bool:
    """Whether a slug tries to leave the content folder: dots, backslashes, NUL, overlong UTF-8, in any encoding.

    Full-width characters count as their plain forms. So does a slug that is still encoded after eight rounds.
    """
    text = unicodedata.normalize("NFKC", slug[:_MOST_READ])
    for _ in range(_ROUNDS):
        if _TRAVERSAL.search(text):
            return True
        decoded = unicodedata.normalize("NFKC", unquote(_WIDE.sub(lambda code: chr(int(code[1], 16)), text)))
        if decoded == text:
            return False
        text = decoded
    return True
