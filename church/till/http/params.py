"""Decode and read request parameters: form-encoded, nested with brackets, every value a string.

Source: https://docs.stripe.com/api (requests) and the encoder of the SDK. An empty value unsets a field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from church.till.http.errors import TillError

_PARTS = re.compile(r"[^\[\]]+|\[\]")
_MAX_DEPTH = 10


def decode(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Turn ``a[b][0][c]=1`` into nested dicts and lists. Raises TillError if a name is both a value and a table."""
    fields: dict[str, Any] = {}
    for name, value in pairs:
        place: Any = fields
        parts = _PARTS.findall(name)[:_MAX_DEPTH]
        for number, part in enumerate(parts):
            key = str(len(place)) if part == "[]" else part
            if number == len(parts) - 1:
                place[key] = value
            else:
                place = place.setdefault(key, {})
                if not isinstance(place, dict):
                    raise TillError(f"Invalid parameter: {name}", param=name)
    return {name: _to_lists(value) for name, value in fields.items()}


def _to_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    table = {name: _to_lists(inner) for name, inner in value.items()}
    if table and all(name.isdigit() for name in table):
        return [table[name] for name in sorted(table, key=int)]
    return table


class Params:
    """Parameters to read one by one. An invalid one raises TillError with its name as it was sent."""

    def __init__(self, fields: dict[str, Any], path: str = "") -> None:
        self._fields = fields
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    @property
    def names(self) -> list[str]:
        """Names of the fields that were sent."""
        return list(self._fields)

    def is_empty(self, name: str) -> bool:
        """Whether the field was sent without a value, which unsets it."""
        return self._fields.get(name) == ""

    def _full_name(self, name: str) -> str:
        return f"{self._path}[{name}]" if self._path else name

    def allow(self, names: str) -> Params:
        """Raise TillError for a field that is not in ``names`` (separated by spaces), such as a mistyped one."""
        unknown = sorted(set(self._fields) - set(names.split()) - {"expand"})
        if unknown:
            raise TillError(
                f"Received unknown parameter: {self._full_name(unknown[0])}",
                "parameter_unknown",
                self._full_name(unknown[0]),
            )
        return self

    def text(self, name: str) -> str | None:
        """Return a string, or None if the field is empty or missing."""
        value = self._fields.get(name)
        if value is not None and not isinstance(value, str):
            raise TillError(f"Invalid string: {self._full_name(name)}", param=self._full_name(name))
        return value or None

    def required(self, name: str) -> str:
        """Return a string that must be present."""
        if value := self.text(name):
            return value
        raise TillError(f"Missing required param: {self._full_name(name)}.", "parameter_missing", self._full_name(name))

    def link(self, name: str) -> str | None:
        """Return an http(s) URL, or None."""
        value = self.text(name)
        if value is not None and not value.startswith(("http://", "https://")):
            raise TillError("Not a valid URL", "url_invalid", self._full_name(name))
        return value

    def choice(self, name: str, default: str, *allowed: str) -> str:
        """Return one of ``default`` and ``allowed``."""
        value = self.text(name) or default
        if value not in {default, *allowed}:
            choices = " or ".join((default, *allowed))
            raise TillError(f"Invalid {self._full_name(name)}: must be one of {choices}", param=self._full_name(name))
        return value

    def number(self, name: str) -> int | None:
        """Return an integer, or None."""
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"-?[0-9]{1,15}", value):
            raise TillError(f"Invalid integer: {value}", "parameter_invalid_integer", self._full_name(name))
        return int(value)

    def flag(self, name: str) -> bool | None:
        """Return a boolean, or None."""
        value = self.text(name)
        if value not in {None, "true", "false"}:
            raise TillError(f"Invalid boolean: {value}", param=self._full_name(name))
        return None if value is None else value == "true"

    def table(self, name: str) -> Params:
        """Return nested fields, empty if there are none."""
        value = self._fields.get(name) or {}
        if not isinstance(value, dict):
            raise TillError(f"Invalid object: {self._full_name(name)}", param=self._full_name(name))
        return Params(value, self._full_name(name))

    def rows(self, name: str) -> list[Params]:
        """Return a list of nested fields."""
        value = self._fields.get(name) or []
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise TillError(f"Invalid array: {self._full_name(name)}", param=self._full_name(name))
        return [Params(row, f"{self._full_name(name)}[{number}]") for number, row in enumerate(value)]

    def texts(self, name: str) -> list[str]:
        """Return a list of strings."""
        value = self._fields.get(name) or []
        return [str(item) for item in value] if isinstance(value, list) else [str(value)]

    def texts_by_name(self, name: str, before: dict[str, str] | None = None) -> dict[str, str]:
        """Return metadata: ``before`` updated with the new values; an empty value removes its name."""
        if self._fields.get(name) == "":
            return {}
        merged = {**(before or {}), **self.table(name)._fields}
        return {key: str(value) for key, value in merged.items() if value != ""}
