"""How long one call to the store may take in all, and when the store counts as down."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from church.errors import UnavailableError

log = logging.getLogger("church.store")

BUDGET = 0.09  # seconds a call may take in all, if nothing else is said: 100 ms with what the interpreter takes
REST = 1.0  # seconds that a store which failed is left alone, so that not every caller waits for it

# What says that the server is gone, and not that it refused one command.
GONE = (RedisConnectionError, RedisTimeoutError, OSError)

_deadline: ContextVar[float | None] = ContextVar("church_store_deadline", default=None)


class StoreDownError(UnavailableError):
    """The shared store does not answer, or not in time; nothing was done, or it is not known that it was."""


def remaining() -> float | None:
    """Seconds left of the call that is under way, None outside of one.

    Raises TimeoutError when there are none left.
    """
    deadline = _deadline.get()
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the store's time is used up")
    return left


class Circuit:
    """Gives each call its deadline; after a failure the calls of the next second fail at once.

    When that second is over one caller tries, and the others go on failing at once until it has succeeded.
    """

    def __init__(self, budget: float = BUDGET, rest: float = REST, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget = budget
        self._rest = rest
        self._clock = clock
        self._down_until: float | None = None
        self.failures = 0

    @property
    def down(self) -> bool:
        """Whether the last call found the store gone."""
        return self._down_until is not None

    def check(self) -> None:
        """Raise StoreDownError if a call now would be in vain."""
        if self._down_until is not None and self._clock() < self._down_until:
            raise StoreDownError

    @contextmanager
    def call(self) -> Iterator[None]:
        """One call, which may be of several commands; nested calls share the outer one's deadline.

        Raises StoreDownError for a server that is gone; a refused command keeps its own error.
        """
        if _deadline.get() is not None:
            yield
            return
        self.check()
        if self._down_until is not None:
            self._down_until = self._clock() + self._rest  # this caller tries, the others need not wait
        token = _deadline.set(time.monotonic() + self._budget)
        try:
            yield
        except GONE as error:
            self.trip(error)
            raise StoreDownError from error
        except RedisError:
            self._close()
            raise
        else:
            self._close()
        finally:
            _deadline.reset(token)

    def trip(self, error: Exception) -> None:
        """Note that the store is gone."""
        if not self.down:
            log.warning("the store does not answer", extra={"event": "store.down", "reason": type(error).__name__})
        self.failures += 1
        self._down_until = self._clock() + self._rest

    def _close(self) -> None:
        if self.down:
            log.info("the store answers again", extra={"event": "store.up"})
        self._down_until = None
