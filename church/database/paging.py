"""Page through a long table by the ID of the last row, as fast on the last page as on the first."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute

LARGEST_PAGE = 200

_S = TypeVar("_S", bound=Select[*tuple[object, ...]])


def newest_first(query: _S, row_id: InstrumentedAttribute[int], before_id: int | None, limit: int) -> _S:
    """Order ``query`` by ID, newest first, and limit it to a page of 1 to 200 rows.

    ``before_id`` is the last ID of the previous page, None for the first page.
    """
    if before_id is not None:
        query = query.where(row_id < before_id)
    return query.order_by(row_id.desc()).limit(max(1, min(limit, LARGEST_PAGE)))
