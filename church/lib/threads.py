"""Real threads: for work that would stop a gevent worker, and for what must not depend on its hub.

``off_hub`` and ``BoundedPool`` run what computes for long or waits in C. ``allocate_lock``, ``start_thread`` and
``sleep`` are the operating system's, even where gevent has patched the standard library: log writers use them.
gevent is loaded only where it is there already: gunicorn's master must not import it before it forks.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack

from church.errors import BusyError

if TYPE_CHECKING:
    from gevent.threadpool import ThreadPool

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")
_LOWEST_PRIORITY = 19


# -- off the hub ----------------------------------------------------------------------------------------------------


def off_hub(fn: Callable[[Unpack[_Args]], _T], *args: *_Args) -> _T:
    """Call ``fn(*args)`` in gevent's thread pool if this process is a gevent worker, else directly.

    ``fn`` runs in a real thread: it must not log, take locks, or touch the request or the database.
    Its exception is raised here.
    """
    if not _is_patched():
        return fn(*args)
    import gevent  # noqa: PLC0415 - loaded already, or nothing were patched

    value, error = gevent.get_hub().threadpool.apply(outcome_of, (fn, args))
    if error is not None:
        raise error
    result: _T = value
    return result


def outcome_of(fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    """Return an exception as a value: one that leaves a pool thread is also printed to stderr by the hub."""
    try:
        return fn(*args), None
    except Exception as error:  # noqa: BLE001 - raised again by the caller of off_hub
        return None, error


class BoundedPool:
    """``threads`` real threads of a gevent worker, and at most ``queue`` callers that wait for one.

    Separate from the hub's own pool, so that waiting work keeps no page from being rendered. On Linux the threads
    yield to those that answer requests by ``nice`` (setpriority(2): niceness belongs to a thread there). A process
    that gevent has not patched calls directly.
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
        """Call ``fn(*args)`` like ``off_hub``. Raises BusyError when the queue is full, and what ``fn`` raises."""
        if not _is_patched():
            return fn(*args)
        pool = self._started()
        if self._under_way >= self._size + self._queue:
            raise BusyError
        self._under_way += 1
        try:
            value, error = pool.apply(_call_with_niceness, (self._niceness, fn, args))
        finally:
            self._under_way -= 1
        if error is not None:
            raise error
        result: _T = value
        return result

    def _started(self) -> ThreadPool:
        """The pool of this process: a forked child has none of its parent's threads."""
        if self._pool is None or self._pid != os.getpid():
            from gevent.threadpool import ThreadPool  # noqa: PLC0415 - takes the hub of the thread that imports it

            self._pid, self._under_way = os.getpid(), 0
            self._size = self._threads() if callable(self._threads) else self._threads
            self._niceness = min(os.getpriority(os.PRIO_PROCESS, self._pid) + self._nice, _LOWEST_PRIORITY)
            self._pool = ThreadPool(self._size)
        return self._pool


def _call_with_niceness(niceness: int, fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    """Lower this thread's priority, then call ``fn``; on Linux, pid 0 is the calling thread."""
    if sys.platform == "linux" and os.getpriority(os.PRIO_PROCESS, 0) < niceness:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    return outcome_of(fn, args)


def _is_patched() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


# -- the operating system's own -------------------------------------------------------------------------------------


def _original(module: str, name: str) -> Any:
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        return monkey.get_original(module, name)
    return getattr(__import__(module), name)


def allocate_lock() -> Any:
    """A lock of the operating system."""
    return _original("_thread", "allocate_lock")()


def start_thread(run: Callable[[], None]) -> None:
    """Run ``run`` in a thread of the operating system that ends with the process."""
    _original("_thread", "start_new_thread")(run, ())


def sleep(seconds: float) -> None:
    """Sleep this thread, not a greenlet."""
    _original("time", "sleep")(seconds)


def clock() -> float:
    """Seconds of a clock that never goes back."""
    return time.perf_counter()
