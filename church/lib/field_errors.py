"""Turn pydantic's errors into the errors of fields: by place, such as ``slos[1].objective``, in our own words."""

from __future__ import annotations

from pydantic import ValidationError

from church.errors import FieldErrors


def to_field_errors(error: ValidationError, messages: dict[str, str] | None = None) -> FieldErrors:
    """Make a FieldErrors of ``error``: its first message for each place, or ours from ``messages``, by pydantic's type.

    A ValueError of a validator is shown as it is.
    """
    errors: dict[str, str] = {}
    for found in error.errors(include_url=False, include_context=False, include_input=False):
        message = (messages or {}).get(found["type"]) or found["msg"].removeprefix("Value error, ")
        errors.setdefault(_place(found["loc"]), message)
    return make_field_errors(errors)


def make_field_errors(errors: dict[str, str]) -> FieldErrors:
    """Make a FieldErrors whose message lists the fields."""
    return FieldErrors(errors, "Some fields are invalid: " + ", ".join(errors) + ".")


def _place(loc: tuple[int | str, ...]) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc if part != "[key]")
    return place.lstrip(".")
