"""What an admin asks a list for, in the query: words, one of a few, a number. Of a repeated name the first counts."""

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
_MOST_DIGITS = 18  # any number of so many fits a column


class Numbered(Protocol):
    """A row of a list that is paged by its number."""

    @property
    def id(self) -> int:
        """The row's number."""


_R = TypeVar("_R", bound=Numbered)


@dataclass(frozen=True)
class Listed(Generic[_R]):
    """One page of a list, newest first; ``older`` is what ``?before=`` wants for the next one, None on the last."""

    rows: list[_R]
    older: int | None


def listed(found: Sequence[_R]) -> Listed[_R]:
    """A page of what was found, which is one row more than a page where there is more."""
    rows = list(found[:PAGE])
    return Listed(rows, rows[-1].id if len(found) > PAGE else None)


def words(name: str, most: int = 100) -> str:
    """What was typed: bounded, its control characters and runs of white space one space each."""
    return one_line(request.args.get(name, "")[:most])


def one_of(kind: type[_E], name: str) -> _E | None:
    """One of ``kind``, or None where nothing was asked for. Raises InvalidError."""
    text = words(name)
    try:
        return kind(text) if text else None
    except ValueError:
        raise InvalidError(f"“{name}” must be one of: {', '.join(kind)}.") from None


def number(name: str) -> int | None:
    """A whole number from 0, or None where nothing was asked for. Raises InvalidError."""
    text = words(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise InvalidError(f"“{name}” must be a whole number.")
    return int(text)
