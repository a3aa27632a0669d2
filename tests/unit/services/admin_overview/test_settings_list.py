"""The list of settings: values and states, never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from church.config import load_settings
from church.services.admin_overview import SettingView, list_settings

_MARK = "m4rker-0123456789-abcdefghijklmnop-XYZ"
_SECRETS = {
    "SECRET_KEY": _MARK,
    "SECRET_KEY_PREVIOUS": _MARK,
    "METRICS_TOKEN": _MARK,
    "DATABASE_URL": f"postgresql://church:{_MARK}@127.0.0.1/church",
    "CHURCH_DATABASE_DIRECT_URL": f"postgresql://church:{_MARK}@127.0.0.1/church",
    "REDIS_URL": f"redis://:{_MARK}@127.0.0.1:6379/0",
    "CHURCH_SMTP_URL": f"smtp://church:{_MARK}@127.0.0.1:587",
    "STRIPE_SECRET_KEY": _MARK,
    "STRIPE_WEBHOOK_SECRET": _MARK,
    "STRIPE_WEBHOOK_SECRET_PREVIOUS": _MARK,
}


def _listed(monkeypatch: pytest.MonkeyPatch, folder: Path, **values: str) -> dict[str, SettingView]:
    for name, value in {"CHURCH_INSTANCE": str(folder), **values}.items():
        monkeypatch.setenv(name, value)
    return {view.name: view for view in list_settings(load_settings())}


def test_settings_of_secrets_show_only_that_they_are_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listed = _listed(monkeypatch, tmp_path, **_SECRETS)
    assert {(listed[name].value, listed[name].state.value) for name in _SECRETS} == {("", "set")}
    assert _MARK not in str(listed)


def test_settings_without_a_value_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listed = _listed(monkeypatch, tmp_path)
    assert (listed["REDIS_URL"].value, listed["REDIS_URL"].state.value) == ("", "not set")


def test_settings_that_differ_from_their_default_are_marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listed = _listed(monkeypatch, tmp_path, CHURCH_GRACE_DAYS="9")
    assert (listed["CHURCH_GRACE_DAYS"].value, listed["CHURCH_GRACE_DAYS"].state.value) == ("9", "changed")
    assert (listed["CHURCH_TELEMETRY"].value, listed["CHURCH_TELEMETRY"].state.value) == ("true", "default")
