"""Settings of the site: every setting once, read from the environment and checked."""

from __future__ import annotations

from church.config.settings import ConfigError, Network, Settings, current_settings, load_settings

__all__ = ["ConfigError", "Network", "Settings", "current_settings", "load_settings"]
