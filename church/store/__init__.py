"""The shared store: rate limits and messages between workers, in Redis or the embedded server.

It holds nothing permanent, and the site works without it: while the store is down, each worker counts limits by
itself, messages reach only their own worker, and every call ends within ``CHURCH_STORE_TIMEOUT`` (90 ms by default).
"""

from __future__ import annotations

from church.store import load_redis  # noqa: F401 - before the first import of redis

# isort: split
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask import current_app
from redis.exceptions import RedisError

from church.lib.per_process import PerProcess
from church.store.client import BoundedRedis, StoreCircuit, StoreDownError
from church.store.embedded import embedded_command, socket_path
from church.store.pubsub import Message, Subscribed, listen
from church.store.rate_counters import KeyLimit, RateCounters

if TYPE_CHECKING:
    from flask import Flask
    from redis.connection import AbstractConnection

    from church.config import Settings

__all__ = [
    "KeyLimit",
    "Message",
    "RateCounters",
    "Store",
    "StoreClient",
    "StoreDownError",
    "Subscribed",
    "embedded_command",
    "socket_path",
    "store_url",
]

_PREFIX = "church:"
_EXTENSION = "church_store"
_PUBLISH_ALL = "for i = 1, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end"


def store_url(settings: Settings) -> str:
    """Address of the store: ``REDIS_URL``, else the embedded server's socket. It may include a password."""
    if settings.redis_url is not None:
        return settings.redis_url.get_secret_value()
    return f"unix://{quote(str(socket_path(settings)))}"


class StoreClient:
    """The site's operations on the store. Each process connects at first use."""

    def __init__(self, settings: Settings) -> None:
        url, self._timeout = store_url(settings), settings.store_timeout
        self._client = PerProcess(lambda: BoundedRedis(url, StoreCircuit(self._timeout)))
        self._out_of_reach = False

    @contextmanager
    def out_of_reach(self) -> Iterator[None]:
        """Connect to nothing in the block: the store looks down."""
        self._out_of_reach = True
        try:
            yield
        finally:
            self._out_of_reach = False

    @property
    def client(self) -> BoundedRedis:
        """Redis client of this process. Raises StoreDownError, as its commands do."""
        if self._out_of_reach:
            raise StoreDownError
        return self._client()

    def ping(self) -> bool:
        """Whether the store answers."""
        try:
            return bool(self.client.ping())
        except (StoreDownError, RedisError):
            return False

    def publish(self, channel: str, message: str) -> bool:
        """Send a message to every subscriber. Returns False if the store is down and the message is lost."""
        try:
            self.client.publish(_PREFIX + channel, message)
        except (StoreDownError, RedisError):
            return False
        return True

    def publish_all(self, messages: Sequence[tuple[str, str]]) -> bool:
        """Like ``publish`` for some messages, each with its channel, in one call."""
        args = [part for channel, message in messages for part in (_PREFIX + channel, message)]
        try:
            self.run_script(_PUBLISH_ALL, (), args)
        except StoreDownError:
            return False
        return True

    def subscribe(self, *channels: str) -> Iterator[Subscribed | Message]:
        """Yield messages of ``channels`` for ever; run it in its own greenlet or thread, and close or kill it.

        ``Subscribed`` comes first, and again after each lost connection: messages sent in between are lost.
        """
        return listen(self._new_connection, channels, prefix=_PREFIX, budget=self._timeout)

    def _new_connection(self) -> AbstractConnection:
        return self.client.new_connection()

    def get(self, key: str) -> str | None:
        """The value of ``key``, or None. Raises StoreDownError."""
        try:
            value = self.client.get(_PREFIX + key)
        except RedisError as error:
            raise StoreDownError from error
        return value.decode() if isinstance(value, bytes) else None

    def set(self, key: str, value: str, ttl: float) -> None:
        """Store ``value`` for at most ``ttl`` seconds: a full store drops keys sooner. Raises StoreDownError."""
        try:
            self.client.set(_PREFIX + key, value, px=max(1, int(ttl * 1000)))
        except RedisError as error:
            raise StoreDownError from error

    def claim(self, key: str, ttl: float) -> bool:
        """Claim ``key`` for ``ttl`` seconds. Of all workers only the first gets True. Raises StoreDownError."""
        try:
            return bool(self.client.set(_PREFIX + key, b"", px=max(1, int(ttl * 1000)), nx=True))
        except RedisError as error:
            raise StoreDownError from error

    def delete(self, key: str) -> None:
        """Delete ``key``. Raises StoreDownError."""
        try:
            self.client.delete(_PREFIX + key)
        except RedisError as error:
            raise StoreDownError from error

    def run_script(self, lua: str, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Run a Lua script, which no other command interrupts, and return its reply. Raises StoreDownError."""
        try:
            return self.client.register_script(lua)(keys=[_PREFIX + key for key in keys], args=args)
        except RedisError as error:
            raise StoreDownError from error


class Store:
    """Flask extension: each app has its own StoreClient, used through the current app."""

    def init_app(self, app: Flask) -> None:
        """Create the app's client. Nothing connects yet."""
        app.extensions[_EXTENSION] = StoreClient(app.config["CHURCH"])

    def client_of(self, app: Flask) -> StoreClient:
        """The client of ``app``, needed where no app context is open."""
        client: StoreClient = app.extensions[_EXTENSION]
        return client

    @property
    def _bound(self) -> StoreClient:
        return self.client_of(current_app)

    @property
    def client(self) -> BoundedRedis:
        """See StoreClient.client."""
        return self._bound.client

    def ping(self) -> bool:
        """See StoreClient.ping."""
        return self._bound.ping()

    def publish(self, channel: str, message: str) -> bool:
        """See StoreClient.publish."""
        return self._bound.publish(channel, message)

    def publish_all(self, messages: Sequence[tuple[str, str]]) -> bool:
        """See StoreClient.publish_all."""
        return self._bound.publish_all(messages)

    def subscribe(self, *channels: str) -> Iterator[Subscribed | Message]:
        """See StoreClient.subscribe. Only this call needs the app context, not the iteration."""
        return self._bound.subscribe(*channels)

    def get(self, key: str) -> str | None:
        """See StoreClient.get."""
        return self._bound.get(key)

    def set(self, key: str, value: str, ttl: float) -> None:
        """See StoreClient.set."""
        self._bound.set(key, value, ttl)

    def claim(self, key: str, ttl: float) -> bool:
        """See StoreClient.claim."""
        return self._bound.claim(key, ttl)
