"""The shared store: rate limits and messages between workers, in Redis or the embedded server.

Nothing in it is lasting and nothing may depend on it: with the store down, limits are counted in each worker,
messages stay in their worker, and every call ends within ``CHURCH_STORE_TIMEOUT``, 90 ms where nothing is said.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from flask import current_app
from redis.exceptions import RedisError

from church.store.client import BoundedRedis, Circuit, StoreDownError
from church.store.embedded import embedded_command, socket_path
from church.store.pubsub import Message, Subscribed, listen

if TYPE_CHECKING:
    from flask import Flask
    from redis.connection import AbstractConnection

    from church.config import Settings

__all__ = [
    "Message",
    "Store",
    "StoreClient",
    "StoreDownError",
    "Subscribed",
    "embedded_command",
    "socket_path",
    "url",
]

_PREFIX = "church:"
_EXTENSION = "church_store"


def url(settings: Settings) -> str:
    """The store's address: ``REDIS_URL``, else the embedded server's socket. May hold a password."""
    if settings.redis_url is not None:
        return settings.redis_url.get_secret_value()
    return f"unix://{quote(str(socket_path(settings)))}"


class StoreClient:
    """What the site does with the store. Connects when it is first used, anew in each process."""

    def __init__(self, settings: Settings) -> None:
        self._url = url(settings)
        self._timeout = settings.store_timeout
        self._made: tuple[int, BoundedRedis] | None = None

    @property
    def client(self) -> BoundedRedis:
        """This process's Redis client; its commands raise StoreDownError."""
        if self._made is None or self._made[0] != os.getpid():
            self._made = (os.getpid(), BoundedRedis(self._url, Circuit(self._timeout)))
        return self._made[1]

    def ping(self) -> bool:
        """Whether the store answers."""
        try:
            return bool(self.client.ping())
        except (StoreDownError, RedisError):
            return False

    def publish(self, channel: str, message: str) -> bool:
        """Send to every subscriber; False if the store is down and the message lost."""
        try:
            self.client.publish(_PREFIX + channel, message)
        except (StoreDownError, RedisError):
            return False
        return True

    def subscribe(self, *channels: str) -> Iterator[Subscribed | Message]:
        """Messages of ``channels``, for ever, in a greenlet or thread of its own; close() or kill ends it.

        ``Subscribed`` comes first and after each lost connection: what was sent meanwhile is lost.
        """
        return listen(self._new_connection, channels, prefix=_PREFIX, budget=self._timeout)

    def _new_connection(self) -> AbstractConnection:
        return self.client.new_connection()

    def get(self, key: str) -> str | None:
        """The value of ``key``, None if there is none. Raises StoreDownError."""
        try:
            value = self.client.get(_PREFIX + key)
        except RedisError as error:
            raise StoreDownError from error
        return value.decode() if isinstance(value, bytes) else None

    def set(self, key: str, value: str, ttl: float) -> None:
        """Keep ``value`` for ``ttl`` seconds at most: a full store drops keys sooner. Raises StoreDownError."""
        try:
            self.client.set(_PREFIX + key, value, px=max(1, int(ttl * 1000)))
        except RedisError as error:
            raise StoreDownError from error

    def claim(self, key: str, ttl: float) -> bool:
        """Whether nobody has claimed ``key`` in the last ``ttl`` seconds: of all workers one is told so, once.

        Raises StoreDownError.
        """
        try:
            return bool(self.client.set(_PREFIX + key, b"", px=max(1, int(ttl * 1000)), nx=True))
        except RedisError as error:
            raise StoreDownError from error


class Store:
    """The extension: ``init_app`` gives each app a StoreClient of its own, found through the current app."""

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

    def subscribe(self, *channels: str) -> Iterator[Subscribed | Message]:
        """See StoreClient.subscribe; the app context is needed for this call alone, not for the iteration."""
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
