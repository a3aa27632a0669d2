"""Insert or update rows without conflicts, on SQLite and PostgreSQL.

If many transactions insert the same row at once, one succeeds and the others raise nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import CursorResult, Table, TextClause, literal
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

_DIALECTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert_for(session: Session, table: Any) -> Any:
    """Start an INSERT of the session's dialect, which has ``on_conflict_do_…``. ``table`` may be a model."""
    return _DIALECTS[session.get_bind().dialect.name](table)


def count_rows(result: Any) -> int:
    """Return how many rows a statement changed or deleted."""
    return result.rowcount if isinstance(result, CursorResult) else 0


def insert_or_ignore(
    session: Session,
    model: type[Any],
    values: dict[str, Any],
    *,
    unique: Collection[str] = (),
    where: TextClause | None = None,
) -> bool:
    """Insert ``values`` unless a row has the same ``unique`` columns; without these, unless any index forbids it.

    ``where`` is the condition of a partial unique index. Returns whether the row was inserted.
    """
    statement = insert_for(session, model.__table__).values(values).returning(literal(1))
    unless_there = statement.on_conflict_do_nothing(index_elements=list(unique) or None, index_where=where)
    return session.execute(unless_there).first() is not None


def insert_or_update(session: Session, model: type[Any], key: dict[str, Any], values: dict[str, Any]) -> None:
    """Insert a row with ``key`` and ``values``, or set ``values`` in the row that has this key."""
    statement = insert_for(session, model).values(**key, **values)
    session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))


def add_once(session: Session, model: type[Any], unique: str, values: dict[str, Any]) -> int | None:
    """Insert a row unless one has the same ``unique`` column. Returns the ID of the new row, or None."""
    new_id: int | None = session.execute(
        _insert_returning_id(session.get_bind().dialect.name, model.__table__, unique), values
    ).scalar()
    return new_id


@cache
def _insert_returning_id(dialect: str, table: Table, unique: str) -> Any:
    """Build the statement once: building it through the ORM takes longer than executing it."""
    return _DIALECTS[dialect](table).on_conflict_do_nothing(index_elements=[unique]).returning(table.c.id)
