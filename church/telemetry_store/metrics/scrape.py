"""Fetch /metrics of the site on this host."""

from __future__ import annotations

from church.telemetry_store import site
from church.telemetry_store.site import Target


def fetch(target: Target, timeout: float = site.TIMEOUT) -> str:
    """The text of /metrics, in at most ``timeout`` seconds. Raises SiteError."""
    return site.get(target, "/metrics", "text/plain; version=0.0.4", timeout)
