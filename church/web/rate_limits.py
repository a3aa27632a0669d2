"""Rate limits by name: each has a setting, a counter and a Retry-After.

Counted per client address in the shared store; while that is down, in this worker's memory, so that a limit never
disappears (it is then looser by the number of workers).
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import Response, current_app, request
from flask_limiter import Limiter, RateLimitExceeded
from limits import RateLimitItem, parse

from church import telemetry
from church.config import Settings
from church.web.error_pages import error_response
from church.web.proxies import plain_address

if TYPE_CHECKING:
    from flask import Flask

_V = TypeVar("_V", bound="Callable[..., Any]")
_COUNTED = "counted"  # keeps the keys of count() apart from those of the extension


def client() -> str:
    """Who is counted: an IPv4 address, or the /64 that one IPv6 subscriber commonly holds."""
    address = request.remote_addr or "unknown"
    try:
        ip = plain_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)


limiter = Limiter(key_func=client, strategy="fixed-window")


def limited(name: str, when: Callable[[], bool] | None = None) -> Callable[[_V], _V]:
    """Count requests to a view against the limit ``name``; with ``when``, only those for which it is true."""
    if f"limit_{name}" not in Settings.model_fields:
        raise ValueError(f"{name} is no limit: add limit_{name} to church.config.Settings")

    def rate() -> str:
        return _rate(name)

    exempt = (lambda: not when()) if when is not None else None
    return cast(Callable[[_V], _V], limiter.shared_limit(rate, scope=name, exempt_when=exempt))


def spent(name: str, *key: str, most: int | None = None) -> int | None:
    """Seconds until the limit ``name`` is free again for ``key``; None if it is. Counts nothing.

    For what a service counts itself, such as failures. ``key`` says of whom: never an address in clear text.
    ``most`` asks whether that many are used up instead of the setting's.
    """
    item = parse(_rate(name))
    stored = item.key_for(_COUNTED, name, *key)
    if limiter.storage.get(stored) < (item.amount if most is None else most):
        return None
    return _left(item, limiter.storage.get_expiry(stored))


def count(name: str, *key: str) -> int:
    """Count one more of ``key`` against the limit ``name``; how many there are now in its window, this one included."""
    item = parse(_rate(name))
    return limiter.storage.incr(item.key_for(_COUNTED, name, *key), item.get_expiry())


def take(name: str, *key: str) -> int | None:
    """Count one more of ``key``, as ``count``; seconds until the limit is free where that is one too many, else None.

    Of many at the same moment, exactly as many are let through as the limit gives.
    """
    item = parse(_rate(name))
    stored = item.key_for(_COUNTED, name, *key)
    if limiter.storage.incr(stored, item.get_expiry()) <= item.amount:
        return None
    return _left(item, limiter.storage.get_expiry(stored))


def forget(name: str, *key: str) -> None:
    """Count ``key`` against the limit ``name`` from nothing again."""
    limiter.storage.clear(parse(_rate(name)).key_for(_COUNTED, name, *key))


def _rate(name: str) -> str:
    value: str = getattr(current_app.config["CHURCH"], f"limit_{name}")
    return value


def _left(item: RateLimitItem, end: float) -> int:
    window = item.get_expiry()
    return min(max(math.ceil(end - time.time()), 1), window)


def _on_exceeded(error: RateLimitExceeded) -> Response:
    hit = limiter.current_limit
    name = str(getattr(error.limit, "scope", None) or "other")
    telemetry.track_rate_limit(name)
    item = error.limit.limit
    left = _left(item, hit.reset_at) if hit is not None else item.get_expiry()
    return error_response(429, retry_after=left)


def init_app(app: Flask) -> None:
    """Count where ``store.init_app`` has said, and answer 429 by our own page."""
    limiter.init_app(app)
    app.register_error_handler(RateLimitExceeded, _on_exceeded)
