"""Whether a request belongs to this site: its ``Origin``, and the host it was sent to.

In production the site's own address (CHURCH_SITE_URL) decides alone. In development the site is also reached by other
addresses of the machine, so there the request's own host counts if it is ``localhost`` or an IP address. Any other name
could be pointed at this machine by someone else's DNS server (rebinding).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import request

from church.config import current_settings
from church.lib.network.addresses import parse_address

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def is_own_origin(origin: str) -> bool:
    """Whether ``origin``, as a browser sends it, is this site."""
    settings = current_settings()
    if _normalize(origin) == _normalize(settings.origin):
        return True
    if settings.production or not (is_loopback_name(request.host) or _is_address(_hostname(request.host))):
        return False
    return _normalize(origin) == _normalize(f"{request.scheme}://{request.host}")


def is_sent_to_own_host() -> bool:
    """Whether the request was sent to a loopback name or to the site's own host, by a page of this site or by none."""
    host, origin = request.host, request.headers.get("Origin")
    is_own = is_loopback_name(host) or _hostname(host) == urlsplit(current_settings().origin).hostname
    return is_own and (origin is None or is_own_origin(origin))


def is_loopback_name(host: str) -> bool:
    """Whether ``host``, with or without a port, is ``localhost`` or a loopback address."""
    name = _hostname(host)
    return name == "localhost" or (_is_address(name) and parse_address(name).is_loopback)


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        parse_address(name)
    except ValueError:
        return False
    return True


def _normalize(origin: str) -> str:
    """Lower case, without a port that the scheme implies: browsers leave it out."""
    origin = origin.lower()
    return origin.removesuffix(_DEFAULT_PORTS.get(origin.partition("://")[0], ""))
