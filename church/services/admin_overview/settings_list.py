"""List the settings that this process runs with. A secret is only ever said to be set or not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from church.config import Settings

_SECRET_WORDS = ("SECRET", "TOKEN", "PASSWORD", "KEY")


class SettingState(StrEnum):
    """Whether a setting differs from its default; of a secret, whether it has a value."""

    DEFAULT = "default"
    CHANGED = "changed"
    SET = "set"
    UNSET = "not set"


@dataclass(frozen=True)
class SettingView:
    """One setting; ``value`` is empty for a secret and for a setting that has none."""

    name: str
    value: str
    state: SettingState
    meaning: str


def list_settings(settings: Settings) -> list[SettingView]:
    """List all settings by name."""
    fields = type(settings).model_fields
    views = (_view(field, getattr(settings, attribute)) for attribute, field in fields.items())
    return sorted(views, key=lambda view: view.name)


def _view(field: FieldInfo, value: Any) -> SettingView:
    name, meaning = str(field.validation_alias), str(field.description)
    if _is_secret(name, field, value):
        return SettingView(name, "", SettingState.SET if _text(value) else SettingState.UNSET, meaning)
    state = SettingState.DEFAULT if _text(value) == _text(field.default) else SettingState.CHANGED
    return SettingView(name, _text(value), state, meaning)


def _is_secret(name: str, field: FieldInfo, value: Any) -> bool:
    """Whether the value must not be shown, by its type; a name that sounds like a secret is one as well."""
    typed = isinstance(value, SecretStr) or "SecretStr" in str(field.annotation)
    return typed or any(word in name.split("_") for word in _SECRET_WORDS)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list | frozenset):
        return ", ".join(map(str, value))
    return str(value)
