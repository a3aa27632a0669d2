"""What the authors of pages should know: markup that was removed, and pictures that cannot be shown.

The job that renders pages for the search index keeps it in their rows, so that no view of the admin area renders them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter

from church.services.pages.front_matter import PageFacts
from church.services.pages.render import ChangedPageError, PageNotices, Rendered, RenderError
from church.services.pages.rows import PageRows, path_at, place_of

_Version = tuple[str, str]
_MOST_NOTED = 1000
_FAILED = "!"  # after the digest of a page that cannot be rendered
_REPORTED = "FROM files WHERE notices IS NOT NULL AND rendered = digest AND state > 0"


@dataclass(frozen=True)
class PageReport:
    """What the author of the page at ``path`` should know; at least one of both is not empty."""

    path: str
    removed: tuple[str, ...]
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class FolderReport:
    """The reports of a content folder, and how many of its pages there was no time to check."""

    reports: tuple[PageReport, ...]
    unchecked: int = 0


class PageReports:
    """The notices of each page: from the last index, in ``rows``, and from what this process has rendered since."""

    def __init__(self, rows: PageRows) -> None:
        self._rows = rows
        self._noted: dict[_Version, PageNotices] = {}

    def note(self, page: PageFacts, notices: PageNotices) -> None:
        """Remember the notices of a page that was rendered. May be called in a thread."""
        if len(self._noted) >= _MOST_NOTED:
            self._noted.clear()
        self._noted[page.version] = notices

    def list_reports(self) -> tuple[PageReport, ...]:
        """List the pages with notices, by path."""
        found = {path: PageReport(path, *_read_notices(text)) for path, text in self._read_rows()}
        found |= self._noted_since()
        return tuple(sorted(found.values(), key=attrgetter("path")))

    def _read_rows(self) -> list[tuple[str, str]]:
        return [(path_at(place), text) for place, text in self._rows.read(f"SELECT place, notices {_REPORTED}")]

    def _noted_since(self) -> dict[str, PageReport]:
        """Report on the pages that this process has rendered, and the index has not."""
        reports = {}
        for (path, digest), notices in self._noted.copy().items():
            row = self._rows.read("SELECT digest, rendered FROM files WHERE place = ? AND state > 0", place_of(path))
            if not row or row[0][0] != digest or row[0][1] == digest:
                del self._noted[path, digest]
            elif notices:
                reports[path] = PageReport(path, notices.removed, notices.pictures)
        return reports


@dataclass(frozen=True)
class RenderedPage:
    """What the rows keep of a page that was rendered; without ``rendered`` it cannot be."""

    page: PageFacts
    rendered: Rendered | None


def store_rendered(rows: PageRows, found: Sequence[RenderedPage]) -> None:
    """Keep the notices and pictures of pages that were rendered. Waits for the disk."""
    if not found:
        return
    with rows.write() as connection:
        for each in found:
            place, digest, rendered = place_of(each.page.stamp.path), each.page.digest, each.rendered
            notices = rendered.notices if rendered is not None else PageNotices()
            text = json.dumps([notices.removed, notices.pictures]) if notices else None
            row = connection.execute("SELECT id FROM files WHERE place = ? AND digest = ?", (place, digest)).fetchone()
            if row is None:
                continue  # it has changed since
            mark = digest if rendered is not None else digest + _FAILED
            connection.execute("UPDATE files SET rendered = ?, notices = ? WHERE id = ?", (mark, text, row[0]))
            connection.execute("DELETE FROM pictures WHERE file = ?", row)
            connection.executemany(
                "INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?)",
                [
                    (each.path, row[0], *(each.stamp or (None, None)))
                    for each in (rendered.pictures if rendered else ())
                ],
            )


def list_unrendered(rows: PageRows, is_current: Callable[[str, tuple[int, int] | None], bool]) -> set[str]:
    """List the paths of pages that were not rendered since they changed, or whose pictures are not ``is_current``."""
    stale = {
        path_at(place)
        for (place,) in rows.read(
            "SELECT place FROM files WHERE state > 0 AND (rendered IS NULL OR rendered NOT IN (digest, digest || ?))",
            _FAILED,
        )
    }
    for path in list_changed_pictures(rows, is_current):
        found = rows.read(
            "SELECT place FROM pictures JOIN files ON files.id = pictures.file WHERE pictures.path = ?", path
        )
        stale |= {path_at(place) for (place,) in found}
    return stale


def list_changed_pictures(rows: PageRows, is_current: Callable[[str, tuple[int, int] | None], bool]) -> set[str]:
    """List the paths of pictures that are not as they were when a page that shows them was rendered."""
    return {
        path
        for path, mtime_ns, size in rows.read("SELECT DISTINCT path, mtime_ns, size FROM pictures")
        if not is_current(path, None if mtime_ns is None else (mtime_ns, size))
    }


def list_failed(rows: PageRows) -> set[str]:
    """List the paths of pages that cannot be rendered as they are now."""
    found = rows.read("SELECT place FROM files WHERE state > 0 AND rendered = digest || ?", _FAILED)
    return {path_at(place) for (place,) in found}


def read_known(rows: PageRows) -> dict[_Version, PageNotices]:
    """Return the notices of all pages that were rendered as they are now."""
    found = rows.read("SELECT place, digest, notices FROM files WHERE rendered = digest")
    return {
        (path_at(place), digest): PageNotices(*_read_notices(text)) if text else PageNotices()
        for place, digest, text in found
    }


def _read_notices(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    removed, pictures = json.loads(text)
    return tuple(removed), tuple(pictures)


def check_pages(
    pages: Iterable[PageFacts],
    known: Mapping[_Version, PageNotices],
    render: Callable[[PageFacts], Rendered],
    seconds: float,
) -> FolderReport:
    """Report on ``pages``; those that are not ``known``, or whose pictures may have come, are rendered for it.

    After ``seconds`` the rest is taken as it is known, or not checked.
    """
    end = time.monotonic() + seconds
    found: list[PageReport] = []
    unchecked = 0
    for page in sorted(pages, key=lambda page: page.stamp.path):
        notices = known.get(page.version)
        if (notices is None or notices.pictures) and time.monotonic() < end:
            with suppress(RenderError, ChangedPageError):
                notices = render(page).notices
        if notices is None:
            unchecked += 1
        elif notices:
            found.append(PageReport(page.stamp.path, notices.removed, notices.pictures))
    return FolderReport(tuple(found), unchecked)
