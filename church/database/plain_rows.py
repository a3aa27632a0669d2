"""Read rows of models without a session, whose work for each statement costs several times what SQLite's costs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement

from church.models.base import Base


@cache
def columns_of(model: type[Base]) -> tuple[ColumnElement[Any], ...]:
    """The columns to select for ``build_rows``."""
    return tuple(model.__table__.columns)


def build_rows(values: Sequence[Any], *models: type[Base]) -> tuple[Any, ...]:
    """Build a row of each model from the values of ``columns_of`` all of them, to be read only: no session takes it.

    It is None for the empty values of an outer join.
    """
    rows, start = [], 0
    for model in models:
        end = start + len(columns_of(model))
        rows.append(_build_row(model, values[start:end]))
        start = end
    return tuple(rows)


def _build_row(model: type[Base], values: Sequence[Any]) -> Base | None:
    found = dict(zip(_names_of(model), values, strict=True))
    if found["id"] is None:
        return None
    row = model.__new__(model)
    row.__dict__.update(found)
    return row


@cache
def _names_of(model: type[Base]) -> tuple[str, ...]:
    return tuple(model.__table__.columns.keys())
