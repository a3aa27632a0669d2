"""Pages of a long table, newest first."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from church.database import Database
from church.database.paging import LARGEST_PAGE, newest_first
from church.models import PageText


def a_text(number: int) -> PageText:
    """A text with this ID."""
    return PageText(
        id=number, slug=f"{number}", scope="full", title="", summary="", tags="", body="words", access="public"
    )


def page(db: Database, before_id: int | None, limit: int) -> list[int]:
    """IDs of one page of texts."""
    with db.read() as session:
        return list(session.scalars(newest_first(select(PageText.id), PageText.id, before_id, limit)))


@pytest.fixture(autouse=True)
def _rows(db: Database) -> None:
    with db.write() as session:
        session.add_all(a_text(n) for n in range(1, 206))


def test_pages_follow_each_other_without_gap_or_repetition(db: Database) -> None:
    assert page(db, None, 3) == [205, 204, 203]
    assert page(db, 203, 3) == [202, 201, 200]


def test_last_page_is_short_and_then_empty(db: Database) -> None:
    assert page(db, 3, 10) == [2, 1]
    assert page(db, 1, 10) == []


@pytest.mark.parametrize(("limit", "rows"), [(-5, 1), (0, 1), (10_000, LARGEST_PAGE)])
def test_limit_out_of_range_is_brought_into_it(db: Database, limit: int, rows: int) -> None:
    assert len(page(db, None, limit)) == rows
