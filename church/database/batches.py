"""Change or delete many rows in batches, each in a short transaction of its own.

A job that removes what is old may find a million rows. In one transaction they would outlast the limit of a statement
on PostgreSQL and keep all other writers out on SQLite. Here each statement reads or changes a bounded number of rows,
other writers get their turn after each batch, and what was done stays done: a job that fails halfway goes on from there
when it runs again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from church.database import Database
from church.database.upsert import count_rows

BATCH = 500
"""The most rows that one statement reads or changes."""
PAUSE = 0.05
"""Seconds between two batches: as long as a writer on SQLite waits between two tries, so that all of them get in."""

_RowId = InstrumentedAttribute[int]


def delete_in_batches(
    db: Database,
    row_id: _RowId,
    *matching: ColumnElement[bool],
    along: InstrumentedAttribute[Any] | None = None,
    within: Sequence[ColumnElement[bool]] = (),
) -> int:
    """Delete the rows that are ``within`` and ``matching``, found as ``find_in_batches`` does. Returns how many.

    Raises DatabaseBusyError, StatementTimeoutError and DatabaseDownError; batches before that stay deleted.
    """
    deleted = 0
    for ids in find_in_batches(db, row_id, *matching, along=along, within=within):
        with db.write() as session:
            # Once more with the conditions: a row may have changed since it was found.
            deleted += count_rows(session.execute(delete(row_id.class_).where(row_id.in_(ids), *within, *matching)))
    return deleted


def find_in_batches(
    db: Database,
    row_id: _RowId,
    *matching: ColumnElement[bool],
    along: InstrumentedAttribute[Any] | None = None,
    within: Sequence[ColumnElement[bool]] = (),
) -> Iterator[list[int]]:
    """Yield the ids of matching rows in batches, with a pause after each one for other writers.

    Reads all rows ``within`` in the order of ``along``, by default their id: an index has to lead from the one to the
    other. ``matching`` needs no index, since it is checked row by row.
    """
    order: InstrumentedAttribute[Any] = row_id if along is None else along
    page = select(row_id, order, and_(True, *matching)).where(*within).order_by(order, row_id).limit(BATCH)
    last: tuple[Any, int] | None = None
    while True:
        with db.read() as session:
            rows = session.execute(page if last is None else _after(page, order, row_id, last)).all()
        if ids := [found for found, _, matches in rows if matches]:
            yield ids
            time.sleep(PAUSE)
        if len(rows) < BATCH:
            return
        last = (rows[-1][1], rows[-1][0])


def _after(page: Select[Any], order: InstrumentedAttribute[Any], row_id: _RowId, last: tuple[Any, int]) -> Select[Any]:
    """The next page: from the last row on, in a form that both databases look up in an index on ``order``."""
    value, last_id = last
    if order is row_id:
        return page.where(row_id > last_id)
    return page.where(order >= value, or_(order > value, row_id > last_id))
