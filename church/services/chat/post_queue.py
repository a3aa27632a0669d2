"""Store what several members post at the same time in one transaction.

A post that comes alone is stored at once. Posts that come while others are stored and published wait, and are the next
batch, in the order in which they came. Nothing runs while nobody posts.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from church.errors import UnavailableError

P = TypeVar("P")
R = TypeVar("R")

MAX_BATCH = 100
"""The most posts in one transaction."""


class _Waiting(Generic[P, R]):
    """A post whose sender waits, and what became of it."""

    __slots__ = ("error", "leads", "post", "result", "wake")

    def __init__(self, post: P) -> None:
        self.post = post
        self.leads = False
        self.result: R | None = None
        self.error: BaseException | None = None
        self.wake: threading.Event | None = None


class PostQueue(Generic[P, R]):
    """The posts that wait. ``store_all`` stores some in one transaction, and returns a result or an error for each."""

    def __init__(self, store_all: Callable[[Sequence[P]], Sequence[R | Exception]]) -> None:
        self._store_all = store_all
        self._lock = threading.Lock()  # never held while something waits or is stored
        self._waiting: deque[_Waiting[P, R]] = deque()
        self._has_leader = False

    def store(self, post: P) -> R:
        """Store ``post``, and return its result once the transaction is committed. Raises its error."""
        own = _Waiting[P, R](post)
        with self._lock:
            self._waiting.append(own)
            if self._has_leader:
                own.wake = threading.Event()
            else:
                self._has_leader = own.leads = True
        if own.wake is not None:
            try:
                own.wake.wait()
            except BaseException:  # this greenlet is ended
                self._leave(own)
                raise
        if own.leads:
            self._lead(own)
        if own.error is not None:
            raise own.error
        return own.result  # type: ignore[return-value]  # without an error there is a result

    def _lead(self, own: _Waiting[P, R]) -> None:
        """Store the posts that wait, ``own`` first; then the next that waits leads."""
        try:
            with self._lock:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
            self._store(batch)
        finally:
            self._leave(own)

    def _leave(self, own: _Waiting[P, R]) -> None:
        """Take back ``own`` if it still waits, and let the next lead if ``own`` does."""
        with self._lock:
            with suppress(ValueError):
                self._waiting.remove(own)
            if not own.leads:
                return
            successor = self._waiting[0] if self._waiting else None
            self._has_leader = successor is not None
            if successor is not None:
                successor.leads = True
                _wake(successor)

    def _store(self, batch: Sequence[_Waiting[P, R]]) -> None:
        results: Sequence[R | BaseException] = [
            UnavailableError() for _ in batch
        ]  # if this greenlet is ended meanwhile
        try:
            results = self._store_all([one.post for one in batch])
        except Exception as error:  # noqa: BLE001 - each sender raises it
            results = [error] * len(batch)
        finally:
            for one, result in zip(batch, results, strict=True):
                if isinstance(result, BaseException):
                    one.error = result
                else:
                    one.result = result
                if not one.leads:
                    _wake(one)


def _wake(one: _Waiting[P, R]) -> None:
    if one.wake is not None:
        one.wake.set()
