"""Read the fields of a request, from an HTML form or a JSON object with the same names, within bounds.

Input that no form of this site can send (a wrong type, a NUL, half a surrogate pair) raises InvalidError, 400. Mistakes
that a person can correct are collected by field and raise FieldErrors, 422.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from flask import request
from werkzeug.exceptions import UnsupportedMediaType

from church.errors import FieldErrors, InvalidError

__all__ = ["FORMS", "JSON", "UPLOAD_CHUNK", "Fields", "read_fields", "read_json_object", "safe_next"]

FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
JSON = "application/json"
UPLOAD_CHUNK = "application/offset+octet-stream"
"""A chunk of a resumable upload (tus 1.0, PATCH)."""
DEFAULT_MAX_LENGTH = 320
"""Default limit of a field in characters: the longest email address (RFC 3696, erratum 1690)."""

_TRUE = frozenset({"1", "true", "on", "yes"})


class Fields:
    """The fields of one request. Reading one notes its errors; ``check`` then raises all of them together."""

    def __init__(self, sent: Mapping[str, Any]) -> None:
        self._sent = sent
        self.errors: dict[str, str] = {}

    def text(self, name: str, most: int = DEFAULT_MAX_LENGTH, *, required: bool = True) -> str:
        """The text of field ``name`` as it was sent; empty if it is missing. Raises InvalidError."""
        value = self._sent.get(name)
        if value is None:
            value = ""
        if not isinstance(value, str):
            raise InvalidError(f"“{name}” must be text.")
        if not _is_text(value):
            raise InvalidError(f"“{name}” contains invalid characters.")
        if len(value) > most:
            self.errors.setdefault(name, f"This is too long. Use at most {most} characters.")
            return value[:most]
        if required and not value.strip():
            self.errors.setdefault(name, "Fill this in.")
        return value

    def has(self, name: str) -> bool:
        """Whether field ``name`` was sent and is not empty."""
        return self._sent.get(name) not in (None, "")

    def flag(self, name: str) -> bool:
        """Whether the checkbox ``name`` is on: true in JSON; 1, true, yes or on in a form."""
        value = self._sent.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        if isinstance(value, int):
            return value == 1
        return self.text(name, required=False).lower() in _TRUE

    def number(self, name: str, most: int) -> int:
        """The whole number in field ``name``, from 0 to ``most``: a number or digits in JSON, digits in a form."""
        value = self._sent.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        digits = value if isinstance(value, str) and value.isascii() and value.isdigit() else ""
        if not digits or len(digits) > len(str(most)) or int(digits) > most:
            self.errors.setdefault(name, f"Enter a whole number from 0 to {most}.")
            return 0
        return int(digits)

    def shown(self, *names: str) -> dict[str, str]:
        """Values to show in the form again after an error; empty for wrong types. Never use it for a password."""
        values = {name: self._sent.get(name, "") for name in names}
        return {
            name: v[:DEFAULT_MAX_LENGTH] if isinstance(v, str) and _is_text(v) else "" for name, v in values.items()
        }

    def check(self) -> None:
        """Raise FieldErrors if any field read so far has an error."""
        if self.errors:
            raise FieldErrors(self.errors)


def read_fields() -> Fields:
    """Fields of the current request. Of a repeated field the first counts; unknown fields are ignored.

    Raises InvalidError for JSON that is not an object, UnsupportedMediaType for a body that is neither form nor JSON.
    """
    if request.mimetype == JSON:
        return Fields(_json_object(request.get_data(cache=True)))
    if request.mimetype in FORMS or not request.mimetype:
        return Fields(request.form)
    raise UnsupportedMediaType


def read_json_object() -> Mapping[str, Any]:
    """The JSON object in the body of the current request, for endpoints that only machines use.

    Raises UnsupportedMediaType for any other type of body, InvalidError for JSON that is not an object.
    """
    if request.mimetype != JSON:
        raise UnsupportedMediaType
    return _json_object(request.get_data(cache=False))


def _json_object(raw: bytes) -> Mapping[str, Any]:
    if not raw.strip():
        return {}
    try:
        parsed = json.loads(raw.decode(), parse_constant=_refuse_constant, object_pairs_hook=_first_of_each)
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise InvalidError("The body is not valid JSON.") from None
    if not isinstance(parsed, dict):
        raise InvalidError("The body must be a JSON object.")
    return parsed


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Keep the first of repeated names, as in a form: a proxy and this site must not read different values."""
    return dict(reversed(pairs))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed in JSON (RFC 8259, section 6)")


def _is_text(value: str) -> bool:
    """Whether databases and emails can hold it: no NUL, which PostgreSQL refuses, and no half of a surrogate pair."""
    return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)


def safe_next(address: str) -> str | None:
    """``address`` if it is a path on this site, else None, so that a link to this site can't redirect to another.

    Browsers read a backslash as a slash and ignore tabs and line ends (https://url.spec.whatwg.org, 4.4).
    """
    is_path = address.startswith("/") and not address.startswith("//")
    return address if is_path and "\\" not in address and address.isprintable() else None
