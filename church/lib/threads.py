"""Real threads, for work that would block a gevent worker and for code that must not depend on gevent's hub.

``run_off_hub`` and ``BoundedPool`` run work that computes for long or waits in C. ``allocate_lock``, ``start_thread``
and ``sleep`` are the operating system's own even if gevent has patched the standard library: log writers use them.
gevent is never imported first here, because gunicorn's master must not load it before it forks.
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


def run_off_hub(fn: Callable[[Unpack[_Args]], _T], *args: *_Args) -> _T:
    """Call ``fn(*args)`` in gevent's thread pool if this process is a gevent worker, else directly.

    ``fn`` runs in a real thread: it must not log, take locks, or touch the request or the database.
    Its exception is raised here.
    """
    if not _is_patched():
        return fn(*args)
    import gevent  # noqa: PLC0415 - loaded already: the process is patched

    value, error = gevent.get_hub().threadpool.apply(capture_outcome, (fn, args))
    if error is not None:
        raise error
    result: _T = value
    return result


def capture_outcome(fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    """Call ``fn`` and return its exception as a value: gevent prints one that leaves a pool thread to stderr."""
    try:
        return fn(*args), None
    except Exception as error:  # noqa: BLE001 - raised again by the caller of run_off_hub
        return None, error


class BoundedPool:
    """A pool of ``threads`` real threads in a gevent worker. At most ``queue`` callers wait for one.

    Separate from the hub's own pool, so that heavy work does not delay page rendering. On Linux the threads run with a
    lower priority, by ``nice`` (setpriority(2): niceness belongs to a thread there). In a process that gevent has not
    patched, ``run`` calls directly.
    """

    def __init__(self, threads: Callable[[], int] | int, queue: int, nice: int) -> None:
        self._threads = threads
        self._queue = queue
        self._nice = nice
        self._pid = 0
        self._pool: ThreadPool | None = None
        self._size = 0
        self._running = 0

    def run(self, fn: Callable[[Unpack[_Args]], _T], *args: *_Args) -> _T:
        """Call ``fn(*args)`` like ``run_off_hub``. Raises BusyError if the queue is full, and what ``fn`` raises."""
        if not _is_patched():
            return fn(*args)
        pool = self._current_pool()
        if self._running >= self._size + self._queue:
            raise BusyError
        self._running += 1
        try:
            value, error = pool.apply(_call_with_niceness, (self._niceness, fn, args))
        finally:
            self._running -= 1
        if error is not None:
            raise error
        result: _T = value
        return result

    def _current_pool(self) -> ThreadPool:
        """The pool of this process; a forked child creates its own, because it has none of its parent's threads."""
        if self._pool is None or self._pid != os.getpid():
            from gevent.threadpool import ThreadPool  # noqa: PLC0415 - takes the hub of the thread that imports it

            self._pid, self._running = os.getpid(), 0
            self._size = self._threads() if callable(self._threads) else self._threads
            self._niceness = min(os.getpriority(os.PRIO_PROCESS, self._pid) + self._nice, _LOWEST_PRIORITY)
            self._pool = ThreadPool(self._size)
        return self._pool


def _call_with_niceness(niceness: int, fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    """Lower this thread's priority, then call ``fn``; on Linux, pid 0 is the calling thread."""
    if sys.platform == "linux" and os.getpriority(os.PRIO_PROCESS, 0) < niceness:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    return capture_outcome(fn, args)


def _is_patched() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


# -- the operating system's own, even if gevent has patched Python ---------------------------------------------------


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
    """Seconds of a clock that never goes back, for measuring durations."""
    return time.perf_counter()
