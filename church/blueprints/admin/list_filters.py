"""Read the filters of admin lists from the query: text, a choice, a number. The first of a repeated name counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from flask import request

from church.errors import InvalidError
from church.lib.text import one_line

PAGE_SIZE = 50
_E = TypeVar("_E", bound=StrEnum)
_MOST_DIGITS = 18  # every such number fits into a BIGINT column


class HasId(Protocol):
    """A row of a list that is paged by its id."""

    @property
    def id(self) -> int:
        """Return the row's id."""


_R = TypeVar("_R", bound=HasId)


@dataclass(frozen=True)
class ListPage(Generic[_R]):
    """One page of a list, newest first; ``older`` is the ``?before=`` of the next page, None on the last."""

    rows: list[_R]
    older: int | None


def make_list_page(found: Sequence[_R]) -> ListPage[_R]:
    """Make a page of ``found``, which has one row more than a page if there are older rows."""
    rows = list(found[:PAGE_SIZE])
    return ListPage(rows, rows[-1].id if len(found) > PAGE_SIZE else None)


def read_text(name: str, most: int = 100) -> str:
    """Return a query parameter, cut to ``most`` characters; control characters and white space become one space."""
    return one_line(request.args.get(name, "")[:most])


def read_choice(kind: type[_E], name: str) -> _E | None:
    """Return a member of ``kind``, None if the parameter is empty. Raises InvalidError."""
    text = read_text(name)
    try:
        return kind(text) if text else None
    except ValueError:
        raise InvalidError(f"“{name}” must be one of: {', '.join(kind)}.") from None


def read_number(name: str) -> int | None:
    """Return a whole number from 0, None if the parameter is empty. Raises InvalidError."""
    text = read_text(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise InvalidError(f"“{name}” must be a whole number.")
    return int(text)
