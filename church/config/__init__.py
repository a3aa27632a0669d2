"""Settings of the site: every setting once, read from the environment and checked."""

from __future__ import annotations

from church.config.settings import ConfigError, Network, Settings, current_settings, load_settings
from church.config.value_types import Quota, parse_rate

__all__ = ["ConfigError", "Network", "Quota", "Settings", "current_settings", "load_settings", "parse_rate"]
