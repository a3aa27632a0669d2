"""Settings of the site: every setting once, read from the environment and checked."""

from __future__ import annotations

from church.config.settings import (
    ConfigError,
    Network,
    Settings,
    current_settings,
    keep_settings,
    load_settings,
    read_settings,
)
from church.config.value_types import Quota, parse_rate
from church.config.weak_settings import WeakSetting, find_weak_settings, refuse_new_site_without_https

__all__ = [
    "ConfigError",
    "Network",
    "Quota",
    "Settings",
    "WeakSetting",
    "current_settings",
    "find_weak_settings",
    "keep_settings",
    "load_settings",
    "parse_rate",
    "read_settings",
    "refuse_new_site_without_https",
]
