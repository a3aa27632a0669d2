"""One way to add a row that may be there already."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def add_once(session: Session, model: type[Any], unique: str, values: dict[str, Any]) -> int | None:
    """Insert a row of ``model`` unless one with the same ``unique`` column is there; the new row's id, else None.

    Past the ORM's own insert, which costs four times as much and is not needed for one row of plain values.
    """
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement = insert(model.__table__).values(values).on_conflict_do_nothing(index_elements=[unique])
    made: int | None = session.scalars(statement.returning(model.id)).one_or_none()
    return made
