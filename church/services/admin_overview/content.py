"""What the admin's overview shows of the content folder: pages that are left out, and pages to come."""

from __future__ import annotations

from dataclasses import dataclass

from church.services.pages import FileProblem, PageCard, current_pages

MAX_LISTED = 20


@dataclass(frozen=True)
class ContentState:
    """How many pages there are, and the first of those that are left out or to come."""

    pages: int
    left_out: int
    problems: tuple[FileProblem, ...]
    to_come: int
    next_pages: tuple[PageCard, ...]


def read_content() -> ContentState:
    """Read the state of the content folder as this host serves it."""
    pages = current_pages()
    problems, to_come = pages.problems(MAX_LISTED), pages.to_come(MAX_LISTED)
    return ContentState(pages.count(), pages.count_problems(), problems, pages.count_to_come(), to_come)
