"""Fetch /metrics of the site on this host."""

from __future__ import annotations

from church.telemetry_store import site
from church.telemetry_store.site import Target

# Values of the database are the larger part of the work of a scrape, and change little in a minute.
_HEADERS = {"Accept": "text/plain; version=0.0.4", "Cache-Control": "max-age=50"}


def fetch(target: Target, timeout: float = site.TIMEOUT) -> str:
    """The text of /metrics, in at most ``timeout`` seconds. Raises SiteError."""
    return site.get(target, "/metrics", _HEADERS, timeout)
