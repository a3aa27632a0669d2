"""One way to add a row that may be there already."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Executable, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def add_once(session: Session, model: type[Any], unique: str, values: dict[str, Any]) -> int | None:
    """Insert a row of ``model`` unless one with the same ``unique`` column is there; the new row's id, else None."""
    made: int | None = session.execute(
        _insert(session.get_bind().dialect.name, model.__table__, unique), values
    ).scalar()
    return made


@cache
def _insert(dialect: str, table: Table, unique: str) -> Executable:
    """Made once and past the ORM: to build one anew for each row costs more than to execute it."""
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return insert(table).on_conflict_do_nothing(index_elements=[unique]).returning(table.c.id)
