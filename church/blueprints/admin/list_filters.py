"""Read filters and place of admin lists from the query: text, a choice, a number, a day. The first of a repeated name
counts.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import TypeVar

from flask import request

from church.database.paging import PAGE_SIZE, Place
from church.errors import InvalidError
from church.lib.text import one_line

_E = TypeVar("_E", bound=StrEnum)
_MOST_DIGITS = 18  # every such number fits into a BIGINT column


def read_place() -> Place:
    """Return where the page of a list begins: ``before`` or ``after`` a row's number, or at a ``day``.

    Raises InvalidError.
    """
    return Place(read_number("before"), read_number("after"), read_day("day"), PAGE_SIZE)


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


def read_day(name: str) -> date | None:
    """Return a day such as 2026-05-31, None if the parameter is empty. Raises InvalidError."""
    text = read_text(name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InvalidError(f"“{name}” must be a day such as 2026-05-31.") from None
