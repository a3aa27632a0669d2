"""Where rate limits are counted: in the shared store, and in this process while the store is down.

Flask-Limiter's own fallback lets the second of two requests that meet a failing store at once end in an error; here
each call falls back by itself, so that a limit neither fails nor disappears.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from limits.storage import MemoryStorage, RedisStorage
from packaging.version import Version
from redis.exceptions import RedisError

from church.store.client import StoreDownError

if TYPE_CHECKING:
    from church.store import StoreClient

_DOWN = (StoreDownError, RedisError)


class LimiterStorage(RedisStorage):
    """limits' Redis storage over our client (same scripts, same keys), backed by memory."""

    STORAGE_SCHEME = ["church"]  # noqa: RUF012 (limits reads a plain list)
    DEPENDENCIES = {"redis": Version("3.0")}  # noqa: RUF012 (valkey's client, which it would import too, takes 0.2 s)

    def __init__(self, uri: str, store: StoreClient, key_prefix: str = "church:limit", **options: Any) -> None:
        self._store = store
        self._local = MemoryStorage()
        super().__init__(uri, connection_pool=store.client.connection_pool, key_prefix=key_prefix, **options)

    def get_connection(self, readonly: bool = False) -> Any:
        """The process's client, so that limits and messages share one pool and one circuit."""
        return self._store.client

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count ``amount`` more and return the window's total."""
        try:
            return super().incr(key, expiry, amount)
        except _DOWN:
            return self._local.incr(key, expiry, amount)

    def get(self, key: str) -> int:
        """The window's total."""
        try:
            return super().get(key)
        except _DOWN:
            return self._local.get(key)

    def clear(self, key: str) -> None:
        """Forget what was counted of the window; while the store is down, what this process has counted."""
        self._local.clear(key)
        with suppress(*_DOWN):
            super().clear(key)

    def get_expiry(self, key: str) -> float:
        """When the window ends, in seconds of the epoch."""
        try:
            return super().get_expiry(key)
        except _DOWN:
            return self._local.get_expiry(key)
