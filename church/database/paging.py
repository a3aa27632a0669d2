"""Page through a long table by the ID of a row, as fast on the last page as on the first, and jump to a day."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar

from sqlalchemy import ScalarSelect, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

PAGE_SIZE = 50
LARGEST_PAGE = 200
MOST_COUNTED = 1000

_R = TypeVar("_R")
_V = TypeVar("_V")


@dataclass(frozen=True)
class Place:
    """Where a page begins: the rows before or after the ID of another, or the newest of a ``day`` (UTC) or earlier.

    Without any of these the page has the newest rows. ``size`` is the number of rows, 1 to 200.
    """

    before: int | None = None
    after: int | None = None
    day: date | None = None
    size: int = PAGE_SIZE

    @property
    def rows(self) -> int:
        """``size`` within its limits."""
        return max(1, min(self.size, LARGEST_PAGE))


NEWEST = Place()


class ListPage(list[_R]):
    """The rows of one page, newest first, and where the pages around it begin; None if there is none."""

    def __init__(self, rows: Iterable[_R] = (), older: int | None = None, newer: int | None = None) -> None:
        super().__init__(rows)
        self.older = older
        """The ``before`` of the next page."""
        self.newer = newer
        """The ``after`` of the previous page."""

    def convert(self, view_of: Callable[[_R], _V]) -> ListPage[_V]:
        """Return the page with each row converted."""
        return ListPage(map(view_of, self), self.older, self.newer)

    def as_data(self) -> dict[str, Any]:
        """Return the page for a template or a JSON answer."""
        return {"rows": list(self), "older": self.older, "newer": self.newer}


def fetch_page(
    session: Session,
    query: Select[*tuple[Any, ...]],
    row_id: InstrumentedAttribute[int],
    at: InstrumentedAttribute[datetime],
    place: Place = NEWEST,
) -> ListPage[tuple[Any, ...]]:
    """Fetch a page of ``query``, which has no order yet. Each row is a tuple of its columns.

    ``at`` is the time by which a day is found; it grows with the ID.
    """
    if place.day is not None:
        place = Place(before=find_day(session, row_id, at, place.day), size=place.size)
    query = query.add_columns(row_id)

    def fetch(before: int | None, after: int | None, limit: int) -> list[tuple[int, tuple[Any, ...]]]:
        wanted = query if before is None else query.where(row_id < before)
        wanted = wanted.order_by(row_id.desc()) if after is None else wanted.where(row_id > after).order_by(row_id)
        return [(row[-1], tuple(row[:-1])) for row in session.execute(wanted.limit(limit))]

    return make_page(fetch, place)


def make_page(fetch: Callable[[int | None, int | None, int], list[tuple[int, _R]]], place: Place) -> ListPage[_R]:
    """Make a page of what ``fetch(before, after, limit)`` finds: rows with their IDs, ``after`` an ID the oldest first.

    The first page is always full: near the top, the rows after an ID are the newest ones. ``place`` has no day.
    """
    size = place.rows
    if place.after is not None:
        found = fetch(None, place.after, size + 1)
        if len(found) > size:
            rows = found[size - 1 :: -1]
            return ListPage([row for _, row in rows], older=rows[-1][0], newer=rows[0][0])
        place = Place(size=place.size)
    found = fetch(place.before, None, size + 1)
    rows = found[:size]
    newer = None
    if place.before is not None and fetch(None, place.before - 1, 1):
        newer = rows[0][0] if rows else place.before - 1
    return ListPage([row for _, row in rows], rows[-1][0] if len(found) > size else None, newer)


def find_day(
    session: Session, row_id: InstrumentedAttribute[int], at: InstrumentedAttribute[datetime], day: date
) -> int | None:
    """Find the ID before which the rows of ``day`` (UTC) and earlier are; None if every row is so old.

    A binary search by the primary key: it needs no index on ``at``, which grows with the ID.
    """
    end = datetime.combine(day, time(), UTC) + timedelta(days=1) if day < date.max else datetime.max.replace(tzinfo=UTC)
    lowest, highest = select(func.min(row_id)).scalar_subquery(), select(func.max(row_id)).scalar_subquery()
    low, high = session.execute(select(lowest, highest)).one()
    if low is None:
        return None

    def is_later(beyond: int) -> bool:
        """Whether the rows with a larger ID are later than the day; also if there are none."""
        found = session.execute(select(at).where(row_id > beyond).order_by(row_id).limit(1)).scalar()
        return found is None or found >= end

    if is_later(low - 1):
        return int(low)
    last, later = low - 1, high
    while later - last > 1:
        middle = (last + later) // 2
        last, later = (last, middle) if is_later(middle) else (middle, later)
    return int(later) + 1


def count_up_to(query: Select[*tuple[Any, ...]], most: int = MOST_COUNTED) -> ScalarSelect[int]:
    """Make a column that counts the rows of ``query``, and stops one above ``most``: "more than"."""
    return select(func.count()).select_from(query.limit(most + 1).subquery()).scalar_subquery()
