"""The arguments of a query, checked: what is missing, unknown or of a wrong type is a bad request that says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from church.telemetry_store.query_error import QueryError

MOST_ROWS = 1000
"""Rows of a page."""
LATEST = 2**62
"""A time after all others."""
_MOST_TEXT = 500


class Cursor(NamedTuple):
    """A row's place in the order of time."""

    ts: int
    seq: int


class Arguments:
    """Takes arguments one by one; ``finish`` refuses those that nothing took. All methods raise QueryError."""

    def __init__(self, values: Any, place: str = "") -> None:
        if not isinstance(values, Mapping):
            raise bad_request(f"{place or 'args'} must be an object.")
        self._values = dict(values)
        self._place = f"{place}." if place else ""

    def finish(self) -> None:
        """Refuse arguments that the query does not have."""
        if self._values:
            names = ", ".join(sorted(f"{self._place}{name}"[:60] for name in map(str, self._values))[:5])
            raise bad_request(f"The query has no argument {names}.")

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """Take a whole number from ``low`` to ``high``; required without a default."""
        value = self._values.pop(name, None)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise bad_request(f"{self._place}{name} must be a whole number from {low} to {high}.")
        return value

    def span(self) -> tuple[int, int]:
        """Take ``from`` and ``to``, microseconds since 1970: from ≤ ts < to."""
        begin, end = self.integer("from", 0, LATEST), self.integer("to", 0, LATEST)
        if begin >= end:
            raise bad_request("from must be before to.")
        return begin, end

    def text(self, name: str) -> str | None:
        """Take an optional text; an empty one is none."""
        value = self._values.pop(name, None)
        if value is None or value == "":
            return None
        if not isinstance(value, str) or len(value) > _MOST_TEXT or "\0" in value:
            raise bad_request(f"{self._place}{name} must be a text of at most {_MOST_TEXT} characters.")
        return value

    def required_text(self, name: str) -> str:
        """Take a text that must be there."""
        value = self.text(name)
        if value is None:
            raise bad_request(f"{self._place}{name} is missing.")
        return value

    def choice(self, name: str, choices: Collection[str], default: str) -> str:
        """Take one of ``choices``."""
        value = self.text(name) or default
        if value not in choices:
            raise bad_request(f"{self._place}{name} must be one of {', '.join(choices)}.")
        return value

    def boolean(self, name: str) -> bool:
        """Take true or false; false if left out."""
        value = self._values.pop(name, None)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise bad_request(f"{self._place}{name} must be true or false.")
        return value

    def raw(self, name: str) -> Any:
        """Take a value as it is, for a check of the query's own."""
        return self._values.pop(name, None)

    def part(self, name: str) -> Arguments:
        """Take an object of arguments; empty if left out."""
        return Arguments(self._values.pop(name, None) or {}, f"{self._place}{name}")

    def cursor(self, name: str) -> Cursor | None:
        """Take an optional ``{ts, seq}``."""
        if self._values.get(name) is None:
            self._values.pop(name, None)
            return None
        part = self.part(name)
        cursor = Cursor(part.integer("ts", 0, LATEST), part.integer("seq", 0, LATEST))
        part.finish()
        return cursor


def bad_request(detail: str) -> QueryError:
    """Make the error for arguments that are wrong."""
    return QueryError("bad_request", detail)
