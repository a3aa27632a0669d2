"""Rate limits by name: each has a setting, a counter and a Retry-After.

Requests are counted per client address in the shared store. While the store is down each worker counts in its own
memory, so that a limit never disappears; it is then looser by the number of workers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import Response, current_app, request
from flask_limiter import Limiter, RateLimitExceeded
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage, RedisStorage
from packaging.version import Version
from redis.exceptions import RedisError

from church import telemetry
from church.config import Settings
from church.extensions import store
from church.lib.addresses import client_network
from church.store import StoreClient, StoreDownError
from church.web.error_pages import error_response

if TYPE_CHECKING:
    from flask import Flask

_V = TypeVar("_V", bound="Callable[..., Any]")
_COUNTED = "counted"  # keeps the keys of count() apart from those of the extension
_DOWN = (StoreDownError, RedisError)
_DECREMENT = "if tonumber(redis.call('GET', KEYS[1]) or 0) > 0 then redis.call('DECR', KEYS[1]) end"


def client_key() -> str:
    """Key that requests are counted by: an IPv4 address, or the /64 that one IPv6 customer usually has."""
    return client_network(request.remote_addr or "unknown")


limiter = Limiter(key_func=client_key, strategy="fixed-window")


def limited(name: str, when: Callable[[], bool] | None = None) -> Callable[[_V], _V]:
    """Limit requests to a view by the setting ``limit_<name>``; with ``when``, only those for which it is true."""
    if f"limit_{name}" not in Settings.model_fields:
        raise ValueError(f"there is no limit {name}: add limit_{name} to church.config.Settings")

    def rate() -> str:
        return _setting(name)

    exempt = (lambda: not when()) if when is not None else None
    return cast(Callable[[_V], _V], limiter.shared_limit(rate, scope=name, exempt_when=exempt))


def seconds_until_free(name: str, *key: str, most: int | None = None) -> int | None:
    """Seconds until ``key`` is below the limit ``name`` again; None if it is below now. Counts nothing.

    For limits that are counted by hand, such as failures. ``key`` says who is counted: never an email address in clear
    text. ``most`` replaces the number of the setting.
    """
    rate = parse(_setting(name))
    stored = rate.key_for(_COUNTED, name, *key)
    if limiter.storage.get(stored) < (rate.amount if most is None else most):
        return None
    return _seconds_until(rate, limiter.storage.get_expiry(stored))


def count(name: str, *key: str) -> int:
    """Count one more for ``key`` against the limit ``name``. Returns the window's total, this one included."""
    rate = parse(_setting(name))
    return limiter.storage.incr(rate.key_for(_COUNTED, name, *key), rate.get_expiry())


def count_or_wait(name: str, *key: str) -> int | None:
    """Count one more for ``key``. Returns None within the limit, else the seconds until it is free again.

    Of many calls at the same moment, exactly as many get None as the limit allows.
    """
    rate = parse(_setting(name))
    stored = rate.key_for(_COUNTED, name, *key)
    if limiter.storage.incr(stored, rate.get_expiry()) <= rate.amount:
        return None
    return _seconds_until(rate, limiter.storage.get_expiry(stored))


def reset_count(name: str, *key: str) -> None:
    """Reset what is counted for ``key`` against the limit ``name``."""
    limiter.storage.clear(parse(_setting(name)).key_for(_COUNTED, name, *key))


def give_back(name: str, *key: str) -> None:
    """Take back one that was counted for ``key`` against the limit ``name``; the count never falls below zero."""
    storage = cast(LimiterStorage, limiter.storage)
    storage.decr(parse(_setting(name)).key_for(_COUNTED, name, *key))


def _setting(name: str) -> str:
    value: str = getattr(current_app.config["CHURCH"], f"limit_{name}")
    return value


def _seconds_until(rate: RateLimitItem, end: float) -> int:
    window = rate.get_expiry()
    return min(max(math.ceil(end - time.time()), 1), window)


def _on_exceeded(error: RateLimitExceeded) -> Response:
    hit = limiter.current_limit
    name = str(getattr(error.limit, "scope", None) or "other")
    telemetry.track_rate_limit(name)
    rate = error.limit.limit
    left = _seconds_until(rate, hit.reset_at) if hit is not None else rate.get_expiry()
    return error_response(429, retry_after=left)


# -- where limits are counted ---------------------------------------------------------------------------------------


class LimiterStorage(RedisStorage):
    """Flask-Limiter's Redis storage over our store client, with the same scripts and keys, and memory behind it.

    Each call falls back to memory by itself. Flask-Limiter's own fallback stays off: with it, the second of two
    requests that meet a failing store at once ends in an error.
    """

    STORAGE_SCHEME = ["church"]  # noqa: RUF012 (limits reads a plain list)
    DEPENDENCIES = {"redis": Version("3.0")}  # noqa: RUF012 (valkey's client, which it would import too, takes 0.2 s)

    def __init__(self, uri: str, store: StoreClient, key_prefix: str = "church:limit", **options: Any) -> None:
        self._store = store
        self._memory = MemoryStorage()
        super().__init__(uri, connection_pool=store.client.connection_pool, key_prefix=key_prefix, **options)

    def get_connection(self, readonly: bool = False) -> Any:
        """The process's client, so that limits and messages share one pool and one circuit."""
        return self._store.client

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count ``amount`` more and return the window's total."""
        try:
            return super().incr(key, expiry, amount)
        except _DOWN:
            return self._memory.incr(key, expiry, amount)

    def get(self, key: str) -> int:
        """The window's total."""
        try:
            return super().get(key)
        except _DOWN:
            return self._memory.get(key)

    def decr(self, key: str) -> None:
        """Count one less, in one step; a window that has ended stays empty."""
        try:
            self._store.client.eval(_DECREMENT, 1, self.prefixed_key(key))
        except _DOWN:
            self._memory.decr(key)

    def clear(self, key: str) -> None:
        """Reset the window's total; while the store is down, only what this process has counted."""
        self._memory.clear(key)
        with suppress(*_DOWN):
            super().clear(key)

    def get_expiry(self, key: str) -> float:
        """End of the window, in seconds since 1970."""
        try:
            return super().get_expiry(key)
        except _DOWN:
            return self._memory.get_expiry(key)


def limiter_storage(client: StoreClient) -> tuple[str, dict[str, Any]]:
    """Address and options of the storage that counts with ``client``, as Flask-Limiter wants them."""
    return f"{LimiterStorage.STORAGE_SCHEME[0]}://store", {"store": client}


def init_app(app: Flask) -> None:
    """Count requests in the app's store, and answer with the site's own page when a limit is exceeded."""
    uri, options = limiter_storage(store.client_of(app))
    app.config.update(RATELIMIT_STORAGE_URI=uri, RATELIMIT_STORAGE_OPTIONS=options)
    limiter.init_app(app)
    app.register_error_handler(RateLimitExceeded, _on_exceeded)
