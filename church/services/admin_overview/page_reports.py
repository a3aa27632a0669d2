"""What the admin's overview shows of single pages: markup that was removed, and pictures that cannot be shown."""

from __future__ import annotations

from dataclasses import dataclass

from church.services.pages import PageReport, current_pages

MAX_LISTED = 20


@dataclass(frozen=True)
class PageReportLists:
    """How many pages were changed by cleaning, how many miss pictures, and the first of each."""

    changed: int
    changed_pages: tuple[PageReport, ...]
    incomplete: int
    incomplete_pages: tuple[PageReport, ...]


def list_page_reports() -> PageReportLists:
    """Read the reports of the last index."""
    reports = current_pages().reports()
    changed = tuple(report for report in reports if report.removed)
    incomplete = tuple(report for report in reports if report.pictures)
    return PageReportLists(len(changed), changed[:MAX_LISTED], len(incomplete), incomplete[:MAX_LISTED])
