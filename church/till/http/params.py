"""Parameters as the SDK sends them: form-encoded, nested by brackets, every value text.

Source: https://docs.stripe.com/api (requests) and the encoder of the SDK. An empty value unsets a field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from church.till.http.errors import TillError

_PARTS = re.compile(r"[^\[\]]+|\[\]")
_DEEPEST = 10


def decode(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """``a[b][0][c]=1`` as nested dicts and lists. Raises TillError where a name is both a value and a table."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        place: Any = found
        parts = _PARTS.findall(name)[:_DEEPEST]
        for number, part in enumerate(parts):
            key = str(len(place)) if part == "[]" else part
            if number == len(parts) - 1:
                place[key] = value
            else:
                place = place.setdefault(key, {})
                if not isinstance(place, dict):
                    raise TillError(f"Invalid parameter: {name}", param=name)
    return {name: _lists(value) for name, value in found.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    made = {name: _lists(inner) for name, inner in value.items()}
    if made and all(name.isdigit() for name in made):
        return [made[name] for name in sorted(made, key=int)]
    return made


class Params:
    """Named fields, read one by one; a wrong one raises TillError that names it as the caller wrote it."""

    def __init__(self, fields: dict[str, Any], path: str = "") -> None:
        self._fields = fields
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    @property
    def names(self) -> list[str]:
        """The fields that were sent."""
        return list(self._fields)

    def _named(self, name: str) -> str:
        return f"{self._path}[{name}]" if self._path else name

    def only(self, names: str) -> Params:
        """Raise if there is a field that is not among ``names`` (by spaces): a typing error must not pass."""
        unknown = sorted(set(self._fields) - set(names.split()) - {"expand"})
        if unknown:
            raise TillError(
                f"Received unknown parameter: {self._named(unknown[0])}", "parameter_unknown", self._named(unknown[0])
            )
        return self

    def text(self, name: str) -> str | None:
        """The field, or None if it is empty or not there."""
        value = self._fields.get(name)
        if value is not None and not isinstance(value, str):
            raise TillError(f"Invalid string: {self._named(name)}", param=self._named(name))
        return value or None

    def needed(self, name: str) -> str:
        """The same for a field that must be there."""
        if value := self.text(name):
            return value
        raise TillError(f"Missing required param: {self._named(name)}.", "parameter_missing", self._named(name))

    def link(self, name: str) -> str | None:
        """An address to send a browser to."""
        value = self.text(name)
        if value is not None and not value.startswith(("http://", "https://")):
            raise TillError("Not a valid URL", "url_invalid", self._named(name))
        return value

    def choice(self, name: str, default: str, *allowed: str) -> str:
        """One of ``default`` and ``allowed``."""
        value = self.text(name) or default
        if value not in {default, *allowed}:
            wanted = " or ".join((default, *allowed))
            raise TillError(f"Invalid {self._named(name)}: must be one of {wanted}", param=self._named(name))
        return value

    def number(self, name: str) -> int | None:
        """A whole number."""
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"-?[0-9]{1,15}", value):
            raise TillError(f"Invalid integer: {value}", "parameter_invalid_integer", self._named(name))
        return int(value)

    def flag(self, name: str) -> bool | None:
        """true or false."""
        value = self.text(name)
        if value not in {None, "true", "false"}:
            raise TillError(f"Invalid boolean: {value}", param=self._named(name))
        return None if value is None else value == "true"

    def table(self, name: str) -> Params:
        """Nested fields; empty ones if there are none."""
        value = self._fields.get(name) or {}
        if not isinstance(value, dict):
            raise TillError(f"Invalid object: {self._named(name)}", param=self._named(name))
        return Params(value, self._named(name))

    def rows(self, name: str) -> list[Params]:
        """A list of nested fields."""
        value = self._fields.get(name) or []
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise TillError(f"Invalid array: {self._named(name)}", param=self._named(name))
        return [Params(row, f"{self._named(name)}[{number}]") for number, row in enumerate(value)]

    def texts(self, name: str) -> list[str]:
        """A list of values."""
        value = self._fields.get(name) or []
        return [str(one) for one in value] if isinstance(value, list) else [str(value)]

    def texts_by_name(self, name: str, before: dict[str, str] | None = None) -> dict[str, str]:
        """Metadata: what was there before with the new names over it; an empty value removes its name."""
        if self._fields.get(name) == "":
            return {}
        merged = {**(before or {}), **self.table(name)._fields}
        return {key: str(value) for key, value in merged.items() if value != ""}
