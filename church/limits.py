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

from flask import Response, request
from flask_limiter import Limiter, RateLimitExceeded

from church import telemetry
from church.config import Settings, settings
from church.errors import error_response
from church.proxies import plain_address

if TYPE_CHECKING:
    from flask import Flask

_V = TypeVar("_V", bound="Callable[..., Any]")


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
        value: str = getattr(settings(), f"limit_{name}")
        return value

    exempt = (lambda: not when()) if when is not None else None
    return cast(Callable[[_V], _V], limiter.shared_limit(rate, scope=name, exempt_when=exempt))


def _on_exceeded(error: RateLimitExceeded) -> Response:
    hit = limiter.current_limit
    name = str(getattr(error.limit, "scope", None) or "other")
    telemetry.track_rate_limit(name)
    window = error.limit.limit.get_expiry()
    left = math.ceil(hit.reset_at - time.time()) if hit is not None else window
    return error_response(429, retry_after=min(max(left, 1), window))


def init_app(app: Flask) -> None:
    """Count where ``store.init_app`` has said, and answer 429 by our own page."""
    limiter.init_app(app)
    app.register_error_handler(RateLimitExceeded, _on_exceeded)
