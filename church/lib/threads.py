"""Real threads, for work that would block a gevent worker and for code that must not depend on gevent's hub.

``Line`` shares out what there is a fixed number of, such as connections.

``run_off_hub`` runs work that computes for long or waits in C. The locks, ``start_thread`` and ``sleep`` are the
operating system's own even if gevent has patched the standard library: log writers use them. gevent is never imported
first here, because gunicorn's master must not load it before it forks.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import Any, Generic, TypeVar, TypeVarTuple, Unpack

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")


# -- off the hub ----------------------------------------------------------------------------------------------------


def run_off_hub(fn: Callable[[Unpack[_Args]], _T], *args: *_Args) -> _T:
    """Call ``fn(*args)`` in gevent's thread pool if this process is a gevent worker, else directly.

    ``fn`` runs in a real thread: it must not log, take locks, or touch the request or the database.
    Its exception is raised here.
    """
    if not is_patched():
        return fn(*args)
    import gevent  # noqa: PLC0415 - loaded already: the process is patched

    from church.lib.cpu_accounts import credit_caller  # noqa: PLC0415 - it needs the locks below

    value, error = gevent.get_hub().threadpool.apply(credit_caller(capture_outcome), (fn, args))
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


def start_beside(name: str, run: Callable[[Unpack[_Args]], None], *args: *_Args) -> threading.Thread:
    """Run ``run(*args)`` in a thread, in a gevent worker a greenlet, that ends with the process.

    It has a context of its own: a greenlet would keep that of the request that happened to start it.
    """
    thread = threading.Thread(target=run, args=args, name=name, daemon=True)
    Context().run(thread.start)
    return thread


def is_patched() -> bool:
    """Whether gevent has patched this process, so that its work runs in greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


# -- taking turns ---------------------------------------------------------------------------------------------------


class _Place(Generic[_T]):
    """One that waits in a line, and what it was given."""

    __slots__ = ("_woken", "given")

    def __init__(self) -> None:
        self.given: list[_T] = []
        self._woken = threading.Lock()
        self._woken.acquire()

    def wait(self, timeout: float | None) -> None:
        self._woken.acquire(timeout=-1 if timeout is None else timeout)

    def hand_over(self, item: _T) -> None:
        self.given.append(item)
        self._woken.release()


class Line(Generic[_T]):
    """Things to take and to give back; who has waited longest gets the next one.

    Semaphores and queues of the standard library let a newcomer take it while the one they woke gets up: under load
    some wait for seconds, others never.
    """

    def __init__(self, items: Iterable[_T] = ()) -> None:
        self._free = deque(items)
        self._waiting: deque[_Place[_T]] = deque()
        # A garbage collection inside the lock may give back what somebody has forgotten, by a finalizer.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        """How many can be taken without waiting."""
        return len(self._free)

    @property
    def waiting(self) -> int:
        """How many wait to take one."""
        return len(self._waiting)

    def take(self, timeout: float | None = None) -> _T:
        """Take the next thing; waits ``timeout`` seconds at most, None for as long as it takes. Raises TimeoutError."""
        with self._lock:
            if self._free:
                return self._free.popleft()
        if timeout is not None and timeout <= 0:
            raise TimeoutError
        place: _Place[_T] = _Place()
        with self._lock:
            if self._free:
                return self._free.popleft()
            self._waiting.append(place)
        try:
            place.wait(timeout)
        except BaseException:  # the waiting greenlet is ended
            if not self._leave(place):
                self.give(place.given[0])
            raise
        if self._leave(place):
            raise TimeoutError
        return place.given[0]

    def give(self, item: _T) -> None:
        """Give a thing back, or add one."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().hand_over(item)
            else:
                self._free.append(item)

    def _leave(self, place: _Place[_T]) -> bool:
        """Stop waiting; False if something was given meanwhile."""
        if place.given:
            return False
        with self._lock:
            if place.given:
                return False
            self._waiting.remove(place)
            return True


# -- the operating system's own, even if gevent has patched Python ---------------------------------------------------


def _original(module: str, name: str) -> Any:
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        return monkey.get_original(module, name)
    return getattr(__import__(module), name)


def allocate_lock() -> Any:
    """A lock of the operating system."""
    return _original("_thread", "allocate_lock")()


def allocate_rlock() -> Any:
    """A lock of the operating system that knows its thread: ``_is_owned()``."""
    return _original("_thread", "RLock")()


def identifiers() -> tuple[Callable[[], int], Callable[[], int]]:
    """Two functions that name the calling thread: Python's number for it, and the system's."""
    return _original("_thread", "get_ident"), _original("_thread", "get_native_id")


def start_thread(run: Callable[[], None]) -> None:
    """Run ``run`` in a thread of the operating system that ends with the process."""
    _original("_thread", "start_new_thread")(run, ())


def sleep(seconds: float) -> None:
    """Sleep this thread, not a greenlet."""
    _original("time", "sleep")(seconds)


def clock() -> float:
    """Seconds of a clock that never goes back, for measuring durations."""
    return time.perf_counter()
