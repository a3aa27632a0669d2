"""What the access record says of a visitor: the path, the kind of client and the site that the visitor came from.

Each is bounded and without secrets, and remembered by the text that was sent, since most requests send the same.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from church.lib.user_agents import find_family
from church.observability.threats.scan_text import quote_text

_LONGEST_PATH = 300
_LONGEST_ADDRESS = 512
_HOST = re.compile(r"[a-z0-9.-]{1,253}|[0-9a-f:.]{2,45}")
_SESSION_COOKIE = "church="  # also the end of its name on https


class Visitor:
    """What a request says of itself besides its method and client; the texts are as they were sent."""

    __slots__ = ("_agent", "_host", "_path", "_referrer", "has_credentials")

    def __init__(self, environ: dict[str, Any]) -> None:
        get = environ.get
        self._path: str = get("PATH_INFO") or ""
        self._agent: str | None = get("HTTP_USER_AGENT")
        self._referrer: str | None = get("HTTP_REFERER")
        self._host: str = get("HTTP_HOST") or ""
        cookie = get("HTTP_COOKIE")
        self.has_credentials: bool = bool(cookie and _SESSION_COOKIE in cookie) or "HTTP_AUTHORIZATION" in environ
        """Whether it came with a sign-in, valid or not."""

    @property
    def path(self) -> str:
        """The path without the query, as an excerpt shows it."""
        return show_path(self._path)

    @property
    def user_agent(self) -> str | None:
        """The kind of client; None if it does not say."""
        return find_family(self._agent) if self._agent else None

    @property
    def referrer_host(self) -> str | None:
        """The host of the page before this one; None on the same host, and if it is not known."""
        return find_referrer_host(self._referrer, self._host) if self._referrer else None


def show_path(path: str) -> str:
    """The path as an excerpt shows it; ``path`` is as WSGI has it."""
    if len(path) > _LONGEST_PATH:  # whole parts: half a token can't be recognised
        path = f"{path[:_LONGEST_PATH].rpartition('/')[0]}/..."
    return _show_path(path)


@lru_cache(maxsize=2048)
def _show_path(path: str) -> str:
    if not path.isascii():
        path = path.encode("latin-1", "replace").decode("utf-8", "replace")
    return quote_text(path)


def find_referrer_host(referrer: str, own_host: str) -> str | None:
    """The host of an address; None for ``own_host``, which may have a port, and for what is no address."""
    return _find_referrer_host(referrer[:_LONGEST_ADDRESS], own_host[:_LONGEST_ADDRESS])


@lru_cache(maxsize=512)
def _find_referrer_host(referrer: str, own_host: str) -> str | None:
    try:
        found = urlsplit(referrer)
        host = found.hostname or ""
        own = urlsplit(f"//{own_host}").hostname
    except ValueError:
        return None
    if found.scheme not in {"http", "https"} or host == own or not _HOST.fullmatch(host):
        return None
    return host
