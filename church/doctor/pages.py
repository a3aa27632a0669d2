"""The doctor's check of the pages: markup that was removed from them, and pictures that cannot be shown."""

from __future__ import annotations

from collections.abc import Sequence

from church.config import Settings
from church.doctor.findings import Finding
from church.services.pages import report_on_folder

_SECONDS = 3.0  # less than a check may take
_MOST_NAMED = 10  # pages


def check_pages(settings: Settings) -> Finding:
    """Name the pages that do not show all that their authors wrote, and what is missing."""
    if not settings.content.is_dir():
        return "ok", "no pages to check", ""
    report = report_on_folder(settings, _SECONDS)
    changed = [(page.path, page.removed) for page in report.reports if page.removed]
    incomplete = [(page.path, page.pictures) for page in report.reports if page.pictures]
    parts = [
        *_name("changed by cleaning", changed),
        *_name("with pictures that cannot be shown", incomplete),
        *([f"{report.unchecked} not checked yet: run flask church index"] if report.unchecked else ()),
    ]
    if changed or incomplete:
        return "warn", ". ".join(parts), "take the markup out of these files, and put the pictures beside them"
    return "ok", ". ".join(parts) or "all markup and all pictures are shown", ""


def _name(what: str, pages: Sequence[tuple[str, tuple[str, ...]]]) -> list[str]:
    if not pages:
        return []
    named = "; ".join(f"{path}: {', '.join(notices)}" for path, notices in pages[:_MOST_NAMED])
    rest = f"; and {len(pages) - _MOST_NAMED} more" if len(pages) > _MOST_NAMED else ""
    return [f"{len(pages)} {'page' if len(pages) == 1 else 'pages'} {what}: {named}{rest}"]
