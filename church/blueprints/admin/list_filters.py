"""Read the filters of admin lists from the query: text, a choice, a number. The first of a repeated name counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from flask import request

from church.errors import InvalidError
from church.lib.text import one_line

PAGE = 50
_E = TypeVar("_E", bound=StrEnum)
_MOST_DIGITS = 18  # every such number fits into a BIGINT column


class Numbered(Protocol):
    """A row of a list that is paged by its id."""

    @property
    def id(self) -> int:
        """Return the row's id."""


_R = TypeVar("_R", bound=Numbered)


@dataclass(frozen=True)
class Listed(Generic[_R]):
    """One page of a list, newest first; ``older`` is the ``?before=`` of the next page, None on the last."""

    rows: list[_R]
    older: int | None


def listed(found: Sequence[_R]) -> Listed[_R]:
    """Make a page of ``found``, which has one row more than a page if there are older rows."""
    rows = list(found[:PAGE])
    return Listed(rows, rows[-1].id if len(found) > PAGE else None)


def words(name: str, most: int = 100) -> str:
    """Return a query parameter, cut to ``most`` characters; control characters and white space become one space."""
    return one_line(request.args.get(name, "")[:most])


def one_of(kind: type[_E], name: str) -> _E | None:
    """Return a member of ``kind``, None if the parameter is empty. Raises InvalidError."""
    text = words(name)
    try:
        return kind(text) if text else None
    except ValueError:
        raise InvalidError(f"“{name}” must be one of: {', '.join(kind)}.") from None


def number(name: str) -> int | None:
    """Return a whole number from 0, None if the parameter is empty. Raises InvalidError."""
    text = words(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise InvalidError(f"“{name}” must be a whole number.")
    return int(text)
