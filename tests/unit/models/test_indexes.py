"""Indexes that the deletion of rows needs: the database looks for the children of each deleted parent."""

from __future__ import annotations

import pytest
from sqlalchemy import ForeignKeyConstraint, Table, UniqueConstraint

from church.models import Base

# Their rows are emptied or changed, and never deleted.
_KEPT = frozenset({"users", "chat_rooms"})

_KEYS = [key for table in Base.metadata.sorted_tables for key in table.foreign_key_constraints]


def leading_columns(table: Table) -> set[str]:
    """First columns of the whole indexes of ``table``: of a partial one, no child outside it would be found."""
    unique = [found for found in table.constraints if isinstance(found, UniqueConstraint)]
    whole = [index for index in table.indexes if index.dialect_options["sqlite"]["where"] is None]
    return {next(iter(found.columns)).name for found in (*whole, *unique, table.primary_key)}


@pytest.mark.parametrize(
    "key",
    [key for key in _KEYS if key.ondelete or key.referred_table.name not in _KEPT],
    ids=lambda key: f"{key.table.name}.{'_'.join(key.column_keys)}",
)
def test_foreign_key_whose_parents_are_deleted_has_an_index(key: ForeignKeyConstraint) -> None:
    [column] = key.column_keys
    assert column in leading_columns(key.table)
