"""The device that somebody signs in with, and what it is called to its owner."""

from __future__ import annotations

from dataclasses import dataclass

_LONGEST = 256

# The first that is found counts: most browsers also name those that they want to pass for.
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
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True)
class Device:
    """From where somebody acts: the client's address and what its browser calls itself."""

    address: str
    user_agent: str


def tidy(user_agent: str) -> str:
    """What is kept of a User-Agent: one bounded line."""
    return "".join(c if c.isprintable() else " " for c in user_agent[:_LONGEST])


def label_of(user_agent: str) -> str:
    """Such as "Firefox on Linux"; a User-Agent is what its sender likes, so this names and proves nothing."""
    browser = _first(_BROWSERS, user_agent)
    system = _first(_SYSTEMS, user_agent)
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or "Unknown device"


def _first(names: tuple[tuple[str, str], ...], text: str) -> str | None:
    return next((name for mark, name in names if mark in text), None)
