"""What the authors of pages should know: markup that was removed, and pictures that cannot be shown.

The job that renders all pages for the search index keeps it in a file, so that no view of the admin area renders them.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from church.services.pages.front_matter import FileVersion, Page
from church.services.pages.render import PageNotices, Rendered, RenderError

log = logging.getLogger("church.pages")

_Notices = dict[FileVersion, PageNotices]


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
    """The notices of each page: from the last index, in ``file``, and from what this process has rendered since."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._noted: dict[FileVersion, tuple[int, PageNotices]] = {}  # with when it was noted
        self._saved_at = 0
        self._saved: _Notices = {}

    def note(self, stamp: FileVersion, notices: PageNotices) -> None:
        """Remember the notices of a page that was rendered. May be called in a thread."""
        self._noted[stamp] = time.time_ns(), notices

    def list_reports(self, pages: Iterable[Page]) -> tuple[PageReport, ...]:
        """List the pages with notices, by path."""
        self._load()
        newer = {stamp: found for stamp, (at, found) in self._noted.copy().items() if at > self._saved_at}
        return _make_reports(pages, self._saved | newer)

    def save(self, pages: Iterable[Page]) -> None:
        """Keep the notices of ``pages`` for the other processes of this host, and forget those of all others."""
        noted = self._noted.copy()
        self._noted = {page.stamp: noted[page.stamp] for page in pages if page.stamp in noted}
        notices = {stamp: found for stamp, (_, found) in self._noted.items()}
        self._load()
        if self._file is None or self._saved == notices:
            return
        try:
            _write(self._file, notices)
        except OSError as error:
            facts = {"event": "pages.reports_not_saved", "reason": str(error)}
            log.warning("reports of pages not saved", extra=facts)  # the pages are served all the same

    def _load(self) -> None:
        """Read the file, if it has changed."""
        if self._file is None:
            return
        with suppress(OSError):
            changed = self._file.stat().st_mtime_ns
            if changed != self._saved_at:
                self._saved_at, self._saved = changed, read_notices(self._file)


def check_pages(
    pages: Iterable[Page], known: Mapping[FileVersion, PageNotices], render: Callable[[Page], Rendered], seconds: float
) -> FolderReport:
    """Report on ``pages``; those that are not ``known``, or whose pictures may have come, are rendered for it.

    After ``seconds`` the rest is taken as it is known, or not checked.
    """
    end = time.monotonic() + seconds
    found: _Notices = {}
    unchecked = 0
    pages = list(pages)
    for page in pages:
        notices = known.get(page.stamp)
        if (notices is None or notices.pictures) and time.monotonic() < end:
            with suppress(RenderError):
                notices = render(page).notices
        if notices is None:
            unchecked += 1
        else:
            found[page.stamp] = notices
    return FolderReport(_make_reports(pages, found), unchecked)


def _make_reports(pages: Iterable[Page], notices: Mapping[FileVersion, PageNotices]) -> tuple[PageReport, ...]:
    return tuple(
        PageReport(page.stamp.path, found.removed, found.pictures)
        for page in sorted(pages, key=lambda page: page.stamp.path)
        if (found := notices.get(page.stamp))
    )


def read_notices(file: Path) -> dict[FileVersion, PageNotices]:
    """Read the notices of the last index; none from a file that is missing or damaged."""
    try:
        rows = json.loads(file.read_bytes())
        return {
            FileVersion(str(path), int(mtime_ns), int(size)): PageNotices(tuple(removed), tuple(pictures))
            for path, mtime_ns, size, removed, pictures in rows
        }
    except (OSError, ValueError, TypeError):
        return {}


def _write(file: Path, notices: _Notices) -> None:
    rows = [[each.path, each.mtime_ns, each.size, found.removed, found.pictures] for each, found in notices.items()]
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    part.write_text(json.dumps(rows))
    part.replace(file)
