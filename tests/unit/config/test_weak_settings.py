"""Weak settings: named for the operator, and too weak for a new site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from church.config import ConfigError, Settings, find_weak_settings, load_settings, refuse_new_site_without_https
from tests.support.helpers import STRONG


def load(folder: Path, **given: Any) -> Settings:
    """A production site with https and strong secrets, changed by ``given``."""
    strong = {"CHURCH_ENV": "production", "SECRET_KEY": STRONG, "METRICS_TOKEN": STRONG}
    address = {"CHURCH_SITE_URL": "https://church.example", "CHURCH_INSTANCE": folder}
    return load_settings(**{**strong, **address, **given})


def names(settings: Settings) -> list[str]:
    return [weak.name for weak in find_weak_settings(settings)]


def test_strong_site_has_no_weak_setting(tmp_path: Path) -> None:
    assert names(load(tmp_path, CHURCH_TRUSTED_PROXIES="127.0.0.1,10.0.0.0/8,fd00::/16")) == []


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "128.0.0.0/1", "10.0.0.0/8,10.0.0.0/7", "2000::/3"])
@pytest.mark.parametrize("environment", ["production", "development"])
def test_proxies_that_are_nearly_everybody_are_weak(tmp_path: Path, network: str, environment: str) -> None:
    (weak,) = find_weak_settings(load(tmp_path, CHURCH_TRUSTED_PROXIES=network, CHURCH_ENV=environment))
    assert weak.name == "CHURCH_TRUSTED_PROXIES"
    assert network.rsplit(",", maxsplit=1)[-1] in weak.problem


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHURCH_SITE_URL", "http://church.example"),
        ("CHURCH_SITE_URL", ""),
        ("CHURCH_TELEMETRY", "false"),
        ("CHURCH_THREATS_BODY", "0"),
        ("LOG_LEVEL", "ERROR"),
    ],
)
def test_setting_that_weakens_production_is_named(tmp_path: Path, name: str, value: str) -> None:
    assert names(load(tmp_path, **{name: value})) == [name]
    assert names(load(tmp_path, **{name: value, "CHURCH_ENV": "development"})) == []


def test_new_production_site_without_https_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"CHURCH_SITE_URL: http://church\.example .* CHURCH_ALLOW_HTTP=true"):
        refuse_new_site_without_https(load(tmp_path, CHURCH_SITE_URL="http://church.example"))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"CHURCH_SITE_URL": "http://church.example", "CHURCH_ALLOW_HTTP": "true"},
        {"CHURCH_SITE_URL": "http://church.example", "CHURCH_ENV": "development"},
    ],
)
def test_new_site_that_is_safe_enough_is_not_refused(tmp_path: Path, given: dict[str, str]) -> None:
    refuse_new_site_without_https(load(tmp_path, **given))
