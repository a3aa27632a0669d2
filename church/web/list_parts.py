"""Addresses of the parts of a long list: ``after`` or ``before`` a key, or from the end of a ``month`` on back.

A list has one address for its beginning, without any of these. They work without scripts, stay right while the list
grows, and each can be shared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Protocol
from urllib.parse import urlencode

from flask import request
from werkzeug.exceptions import NotFound

PART_PARAMETERS = ("after", "before", "month")
MOST_KEY = 400  # characters of a key, as sent
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_MOST_MONTHS = 240  # in one choice; beyond, years are offered


class Month(Protocol):
    """A month that has entries of the list."""

    @property
    def year(self) -> int: ...
    @property
    def month(self) -> int: ...


@dataclass(frozen=True)
class AskedPart:
    """Which part of a list a request asks for; at most one of the three is set."""

    after: str | None = None
    before: str | None = None
    month: str | None = None

    @property
    def from_day(self) -> date | None:
        """The last day of the month."""
        return _last_day(self.month) if self.month is not None else None

    @property
    def is_first(self) -> bool:
        """Whether it is the beginning of the list."""
        return self.after is None and self.before is None and self.month is None


@dataclass(frozen=True)
class PartLinks:
    """The addresses that a part of a list leads to. ``here`` is its own; the others are None where there is none."""

    here: str
    first: str | None
    previous: str | None
    next: str | None


@dataclass(frozen=True)
class JumpChoice:
    """The months of one year to jump to, as (value, text), newest first."""

    year: int
    months: tuple[tuple[str, str], ...]


def read_part() -> AskedPart:
    """Read which part the request asks for. Raises NotFound for one that cannot be."""
    given = {name: request.args.get(name, "") for name in PART_PARAMETERS}
    name = next((name for name, value in given.items() if value), None)
    if name is None:
        return AskedPart()
    if len(given[name]) > MOST_KEY or (name == "month" and _last_day(given[name]) is None):
        raise NotFound
    return AskedPart(**{name: given[name]})


def make_links(
    path: str,
    asked: AskedPart,
    *,
    previous: str | None,
    next: str | None,
    **parameters: str | None,
) -> PartLinks:
    """Make the links of a part at ``path``; ``parameters`` are those of the list itself, such as its tag."""

    def address(**place: str | None) -> str:
        wanted = {name: value for name, value in (parameters | place).items() if value}
        return f"{path}?{urlencode(wanted)}" if wanted else path

    return PartLinks(
        here=address(after=asked.after, before=asked.before, month=asked.month),
        first=None if asked.is_first else address(),
        previous=address(before=previous) if previous is not None else None,
        next=address(after=next) if next is not None else None,
    )


def make_choices(months: Iterable[Month]) -> tuple[JumpChoice, ...]:
    """Make the choice of months to jump to, by year; of very many months only the newest of each year."""
    ordered = tuple(months)
    years = [(year, tuple(of_year)) for year, of_year in groupby(ordered, key=lambda one: one.year)]
    most = 12 if len(ordered) <= _MOST_MONTHS else 1
    return tuple(
        JumpChoice(
            year, tuple((f"{year:04}-{one.month:02}", f"{date(year, one.month, 1):%B} {year}") for one in of_year)
        )
        for year, of_year in ((year, of_year[:most]) for year, of_year in years[:_MOST_MONTHS])
    )


def _last_day(month: str) -> date | None:
    found = _MONTH.fullmatch(month)
    if found is None or found[1] == "0000":
        return None
    year, number = int(found[1]), int(found[2])
    if (year, number) == (9999, 12):
        return date.max
    return date(year + number // 12, number % 12 + 1, 1) - timedelta(days=1)
