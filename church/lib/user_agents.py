"""Names of clients by their User-Agent header. A client may send any, so a name proves nothing."""

from __future__ import annotations

import re
from functools import lru_cache

_LONGEST = 256

# The first match counts: most browsers also name the browsers they imitate.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Vivaldi", "Vivaldi"),
    ("Firefox/", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chromium", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("python", "Python"),
)
_PROGRAMS = frozenset({"curl", "Python"})
_MACHINES = (
    (
        "feed reader",
        re.compile(
            r"feed|\brss|netnewswire|inoreader|miniflux|newsblur|newsboat|reeder|liferea|akregator|podcast",
            re.IGNORECASE,
        ),
    ),
    (
        "bot",
        re.compile(r"(?<!cu)bot\b|bots?[/;_-]|crawl|spider|slurp|archiver|facebookexternal|\+https?://", re.IGNORECASE),
    ),
    ("Prometheus", re.compile(r"Prometheus/")),
    ("probe", re.compile(r"kube-probe|HealthCheck|Blackbox|monitor", re.IGNORECASE)),
)
OTHER = "other"
FAMILIES = (*dict.fromkeys(name for _, name in _BROWSERS), *(name for name, _ in _MACHINES), OTHER)
"""Every name that ``find_family`` returns."""
BROWSERS = tuple(dict.fromkeys(name for _, name in _BROWSERS if name not in _PROGRAMS))
"""Those that people read pages with."""


def find_browser(user_agent: str) -> str | None:
    """The browser or program that a User-Agent names, such as ``Firefox``."""
    return next((name for mark, name in _BROWSERS if mark in user_agent), None)


def find_family(user_agent: str) -> str:
    """The kind of client that sends this User-Agent: a browser, a program, ``bot``, ``feed reader`` or ``other``."""
    return _find_family(user_agent[:_LONGEST])


@lru_cache(maxsize=512)
def _find_family(user_agent: str) -> str:
    for name, pattern in _MACHINES:
        if pattern.search(user_agent):
            return name
    return find_browser(user_agent) or OTHER
