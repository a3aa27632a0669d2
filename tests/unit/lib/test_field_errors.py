"""Errors of pydantic, turned into messages by field."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError, field_validator

from church.errors import FieldErrors
from church.lib.field_errors import make_field_errors, to_field_errors


class Goal(BaseModel):
    """A part of the document."""

    objective: float
    name: str = "a"

    @field_validator("name")
    @classmethod
    def _is_short(cls, value: str) -> str:
        if len(value) > 3:
            raise ValueError("At most 3 characters.")
        return value


class Document(BaseModel):
    """A document with a list and a dictionary."""

    goals: list[Goal] = []
    counts: dict[int, int] = {}


def errors_of(document: dict[str, Any], messages: dict[str, str] | None = None) -> dict[str, str]:
    """Validate ``document`` and return the messages by place."""
    with pytest.raises(ValidationError) as raised:
        Document.model_validate(document)
    return to_field_errors(raised.value, messages).errors


def test_error_has_the_place_of_a_nested_field() -> None:
    found = errors_of({"goals": [{"objective": 1}, {"objective": "much"}]})
    assert list(found) == ["goals[1].objective"]


def test_error_of_a_key_has_the_place_of_its_entry() -> None:
    assert list(errors_of({"counts": {"x": 1}})) == ["counts.x"]


def test_error_of_our_validator_is_shown_as_it_is() -> None:
    assert errors_of({"goals": [{"objective": 1, "name": "long name"}]}) == {"goals[0].name": "At most 3 characters."}


def test_error_with_a_message_of_ours_uses_it() -> None:
    assert errors_of({"goals": [{}]}, {"missing": "This is required."}) == {"goals[0].objective": "This is required."}


def test_refusal_lists_the_fields() -> None:
    error = make_field_errors({"a": "wrong", "b.c": "wrong too"})
    assert isinstance(error, FieldErrors)
    assert (error.status, error.detail) == (422, "Some fields are invalid: a, b.c.")
