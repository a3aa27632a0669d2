"""Pages of a long table, newest first, and the jump to a day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import select

from church.database import Database
from church.database.paging import LARGEST_PAGE, ListPage, Place, count_up_to, fetch_page
from church.models import Job

DAY = datetime(2026, 5, 1, tzinfo=UTC)
IDS = [number for number in range(1, 300) if number % 3]  # with gaps, as after deletions


@pytest.fixture(autouse=True)
def _rows(db: Database) -> None:
    facts = {"kind": "t", "payload": {}, "max_attempts": 1, "run_at": DAY}
    with db.write() as session:  # ten IDs a day
        session.add_all(Job(id=number, created_at=DAY + timedelta(days=number // 10), **facts) for number in IDS)


def fetch(db: Database, place: Place) -> ListPage[int]:
    with db.read() as session:
        return fetch_page(session, select(Job.id), Job.id, Job.created_at, place).convert(lambda row: int(row[0]))


def walk(db: Database, size: int) -> list[ListPage[int]]:
    """Every page from the newest on."""
    pages = [fetch(db, Place(size=size))]
    while (older := pages[-1].older) is not None:
        pages.append(fetch(db, Place(before=older, size=size)))
    return pages


@pytest.mark.parametrize("size", [1, 7, 66, 199, 200])
def test_walk_forth_and_back_meets_each_row_once(db: Database, size: int) -> None:
    pages = walk(db, size)
    assert [number for page in pages for number in page] == IDS[::-1]
    assert pages[0].newer is None
    for before, page in pairwise(pages):
        assert page.newer is not None
        assert fetch(db, Place(after=page.newer, size=size)) == before


def test_page_after_a_row_near_the_top_is_the_full_first_page(db: Database) -> None:
    for after in (IDS[-2], IDS[-1], 10**9):
        assert fetch(db, Place(after=after, size=7)) == fetch(db, Place(size=7))


def test_page_before_the_oldest_row_is_empty_and_leads_back(db: Database) -> None:
    page = fetch(db, Place(before=1, size=7))
    assert (list(page), page.older, page.newer) == ([], None, 0)
    assert fetch(db, Place(after=0, size=7)) == IDS[6::-1]


def test_filter_stays_on_all_pages(db: Database) -> None:
    even = select(Job.id).where(Job.id % 2 == 0)
    seen, place = [], Place(size=9)
    with db.read() as session:
        while True:
            page = fetch_page(session, even, Job.id, Job.created_at, place)
            seen += [row[0] for row in page]
            if page.older is None:
                break
            place = Place(before=page.older, size=9)
    assert seen == [number for number in IDS[::-1] if number % 2 == 0]


@pytest.mark.parametrize(
    ("day", "newest"),
    [
        (date(2026, 5, 1), 8),
        (date(2026, 5, 11), 109),
        (date(2026, 5, 30), 299),
        (date(2030, 1, 1), 299),
        (date.max, 299),
        (date(2026, 4, 30), None),
        (date.min, None),
    ],
)
def test_jump_to_a_day_shows_its_rows_and_older_ones(db: Database, day: date, newest: int | None) -> None:
    page = fetch(db, Place(day=day, size=5))
    assert list(page) == ([number for number in IDS[::-1] if number <= newest][:5] if newest else [])
    assert (page.newer is None) == (newest == IDS[-1])


def test_jump_in_an_empty_table_finds_nothing(db: Database) -> None:
    with db.write() as session:
        session.query(Job).delete()
    assert fetch(db, Place(day=date(2026, 5, 1))) == ListPage([])


@pytest.mark.parametrize(("size", "rows"), [(-5, 1), (0, 1), (10_000, len(IDS))])
def test_size_out_of_range_is_brought_into_it(db: Database, size: int, rows: int) -> None:
    assert len(fetch(db, Place(size=size))) == min(rows, LARGEST_PAGE)


def test_count_stops_one_above_the_most(db: Database) -> None:
    counted = [count_up_to(select(Job.id).where(Job.id <= number), 10) for number in (1, 13, 14, 15, 290)]
    with db.read() as session:
        assert list(session.execute(select(*counted)).one()) == [1, 9, 10, 10, 11]
