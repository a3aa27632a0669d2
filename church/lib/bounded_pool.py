"""Real threads for work that is heavy, with a queue that ends: who comes when it is full is sent away at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack

from gevent.monkey import is_module_patched

from church.errors import BusyError
from church.lib.threads import outcome_of

if TYPE_CHECKING:
    from gevent.threadpool import ThreadPool

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")
_KINDEST = 19


class BoundedPool:
    """``threads`` real threads of a gevent worker and ``queue`` callers that wait for one.

    Not the hub's own pool: what waits here keeps no page from being rendered there. On Linux the threads give way to
    those that answer requests by ``nice`` (setpriority(2): niceness is a thread's own there). A process that gevent
    has not patched calls directly.
    """

    def __init__(self, threads: Callable[[], int] | int, queue: int, nice: int) -> None:
        self._threads = threads
        self._queue = queue
        self._nice = nice
        self._pid = 0
        self._pool: ThreadPool | None = None
        self._size = 0
        self._under_way = 0

    def run(self, fn: Callable[[Unpack[_Args]], _T], *args: *_Args) -> _T:
        """``fn(*args)``, as ``off_hub`` has it. Raises BusyError when as many wait as may, and what ``fn`` raises."""
        if not is_module_patched("threading"):
            return fn(*args)
        pool = self._started()
        if self._under_way >= self._size + self._queue:
            raise BusyError
        self._under_way += 1
        try:
            value, error = pool.apply(_kindly, (self._niceness, fn, args))
        finally:
            self._under_way -= 1
        if error is not None:
            raise error
        result: _T = value
        return result

    def _started(self) -> ThreadPool:
        """The pool of this process: a forked child has none of its parent's threads."""
        if self._pool is None or self._pid != os.getpid():
            from gevent.threadpool import ThreadPool  # noqa: PLC0415 - it takes the hub of whoever imports it first

            self._pid, self._under_way = os.getpid(), 0
            self._size = self._threads() if callable(self._threads) else self._threads
            self._niceness = min(os.getpriority(os.PRIO_PROCESS, self._pid) + self._nice, _KINDEST)
            self._pool = ThreadPool(self._size)
        return self._pool


def _kindly(niceness: int, fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    """Call ``fn`` in this thread, which gives way first: 0 is whoever asks, and on Linux that is the thread."""
    if sys.platform == "linux" and os.getpriority(os.PRIO_PROCESS, 0) < niceness:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    return outcome_of(fn, args)
