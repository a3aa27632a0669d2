"""CPU time by who has used it: an account for each connection and job, and for each kind of other work.

In a gevent worker a hook charges the time since the last switch of greenlets to the account of the greenlet that ran.
A thread that works for an account measures its own time (``Errand``) and adds it. Garbage collections are taken out of
what they interrupt. So the accounts together are the CPU time of the process, but for what a thread used in the second
in which it ended. All sums of a worker belong to its main thread; threads add to them under a lock.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Self, TypeVar, TypeVarTuple, Unpack

from church.lib import threads

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")
KINDS = ("request", "scrape", "live", "job", "connection", "background", "hub", "gc", "threads", "start")
"""``connection`` is what a connection used outside its requests, ``start`` all before ``start`` was called."""
_IS_LINUX = sys.platform == "linux"

_clock = time.thread_time
_get_ident, _native_id = threads.identifiers()
_account: ContextVar[Account | None] = ContextVar("church_cpu_account", default=None)
_lock = threads.allocate_lock()  # never taken by what a garbage collection calls
_totals: dict[str, float] = dict.fromkeys(KINDS, 0.0)
_busy: dict[Account, Any] = {}
_errands: dict[int, Errand] = {}  # those under way, by the id that the system has for their thread
_credited: defaultdict[int, float] = defaultdict(float)  # seconds of each thread that an account has


class Account:
    """The CPU seconds of one greenlet or job, or of one kind of work. ``serves`` is what it is working for."""

    __slots__ = ("_booked", "errand", "kind", "mark", "seconds", "sent", "serves")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.seconds = self.sent = self.mark = self._booked = 0.0
        self.serves: Any = None
        self.errand: Errand | None = None

    def total(self) -> float:
        """All seconds so far."""
        if self is _running:
            _charge()
        if self.errand is not None:
            self.errand.settle()
        return self.seconds + self.sent

    def begin(self, serves: Any) -> float:
        """Work for ``serves`` from now on; return where its seconds begin: with what came since the work before."""
        since = self.mark if self.serves is None else self.total()
        self.serves = serves
        if self.errand is None or self.errand.thread in _errands:
            _busy[self] = serves
        return since

    def end(self, since: float, kind: str) -> float:
        """Book what was begun as ``kind``, and return its seconds."""
        self.close(kind)
        seconds, self.mark = self._booked - since, self._booked
        return seconds

    def close(self, kind: str) -> None:
        """Book what came since the work before as ``kind``."""
        self.serves = None
        _busy.pop(self, None)
        self.book(kind)

    def book(self, kind: str) -> None:
        """Add what is not booked yet to the total of ``kind``."""
        total = self.total()
        with _lock:
            _totals[kind] += max(0.0, total - self._booked)
            self._booked = max(total, self._booked)


HUB, BACKGROUND, LIVE = Account("hub"), Account("background"), Account("live")
_running: Account | None = None  # the account of the greenlet that runs; None without greenlets
_since = 0.0
_is_started = False
_hub_thread = _hub_ident = 0
_collected = _collecting = 0.0
_threads_seen: dict[int, float] = {}


# -- greenlets -------------------------------------------------------------------------------------------------------


def _charge() -> None:
    global _since  # noqa: PLW0603 - one clock for the thread that has the greenlets
    now = _clock()
    if _running is not None:
        _running.seconds += now - _since
    _since = now


def _make_hook(hub: Any) -> Callable[[str, tuple[Any, Any]], None]:
    """The function that greenlet calls at each switch, in the context of the greenlet that goes on."""
    clock, find = _clock, _account.get

    def switched(_event: str, greenlets: tuple[Any, Any]) -> None:
        global _running, _since  # noqa: PLW0603 - a method of an object costs twice as much
        now = clock()
        _running.seconds += now - _since  # type: ignore[union-attr]  # greenlets have accounts where this runs
        _since = now
        _running = find() or (HUB if greenlets[1] is hub else BACKGROUND)

    return switched


def enter(account: Account) -> None:
    """Charge what this greenlet does from now on to ``account``; does nothing where greenlets have no accounts."""
    global _running  # noqa: PLW0603 - see above
    if _running is None:
        return
    _charge()
    _account.set(account)
    _running = account


@contextmanager
def charged_to(account: Account) -> Iterator[None]:
    """Charge what this greenlet does in the block to ``account``."""
    global _running  # noqa: PLW0603 - see above
    before, running = _account.get(), _running
    enter(account)
    try:
        yield
    finally:
        if running is not None:
            _charge()
            _account.set(before)
            _running = running


@contextmanager
def connection() -> Iterator[None]:
    """Charge what this greenlet does in the block to an account of its own, from which its requests have theirs."""
    account = Account("request")
    with charged_to(account):
        try:
            yield
        finally:
            account.close("connection")


def open_account(kind: str) -> Account:
    """The account of this greenlet; without one, a new one for what this greenlet or thread does from now on."""
    account = _account.get() if _running is not None else None
    if account is None:
        account = Account(kind)
        if _running is None:
            account.errand = Errand(account).begin()
        else:
            enter(account)
    return account


# -- threads ---------------------------------------------------------------------------------------------------------


def _clock_of(thread: int) -> float:
    """The CPU seconds of a thread of this process; raises OSError once it has ended. Elsewhere than on Linux: ours."""
    return time.clock_gettime((~thread << 3) | 6) if _IS_LINUX else _clock()  # CPUCLOCK_PERTHREAD_MASK, CPUCLOCK_SCHED


class Errand:
    """What one thread does for an account: a context manager, used in that thread."""

    __slots__ = ("_begun", "_taken", "account", "ident", "read", "struck", "thread")

    def __init__(self, account: Account) -> None:
        self.account = account
        self.thread = self.ident = 0
        self.struck = 0.0
        """Seconds of garbage collections in between."""

    def begin(self) -> Self:
        """Begin to count, without being listed."""
        self.thread, self.ident = _native_id(), _get_ident()
        self._taken, self._begun = 0.0, _clock_of(self.thread)
        self.read = self._begun
        return self

    def __enter__(self) -> Self:
        self.begin()
        _errands[self.thread] = self
        return self

    def __exit__(self, *_: object) -> None:
        self.settle()
        del _errands[self.thread]

    def settle(self) -> None:
        """Add what came since the last call to the account."""
        with _lock, suppress(OSError):  # the thread has ended
            self.read = _clock_of(self.thread)
            part = self.read - self._begun - self.struck - self._taken
            self._taken += part
            self.account.sent += part
            if self.thread in _errands:
                _credited[self.thread] += part


def credit_caller(fn: Callable[[Unpack[_Args]], _T]) -> Callable[[Unpack[_Args]], _T]:
    """``fn``, to be called in another thread for the account of the greenlet that runs now."""
    account = _running
    if account is None:
        return fn

    def credited(*args: *_Args) -> _T:
        with Errand(account):
            return fn(*args)

    return credited


@contextmanager
def work_in_thread(kind: str) -> Iterator[Account]:
    """Give what this thread does in the block an account of its own."""
    account = Account(kind)
    with Errand(account) as errand:
        account.errand = errand
        try:
            yield account
        finally:
            account.close(kind)
            account.errand = None


def list_errands() -> list[Errand]:
    """What threads do for accounts at this moment."""
    return list(_errands.values())


def _read_threads() -> float:
    """The seconds that threads have used since the last call and no account has; forgets ended threads."""
    living = set(map(int, os.listdir("/proc/self/task"))) - {_hub_thread}
    grown = 0.0
    for thread in living:
        with suppress(OSError):  # it has just ended
            errand = _errands.get(thread)  # what it does since it was settled is not known yet
            now = errand.read if errand is not None else _clock_of(thread)
            used, seen = now - _credited[thread], _threads_seen.get(thread, 0.0)
            grown += max(0.0, used - seen)
            _threads_seen[thread] = max(used, seen)
    for known in (_credited, _threads_seen):
        for thread in known.keys() - living:
            del known[thread]
    return grown


# -- the process -----------------------------------------------------------------------------------------------------


def start(*, greenlets: bool) -> None:
    """Keep accounts in this process from now on, after the fork; ``greenlets`` says that this thread runs a hub."""
    global _get_ident, _native_id, _lock, _is_started  # noqa: PLW0603 - facts of the process
    # Once more: in a gevent worker they are no longer the system's own.
    (_get_ident, _native_id), _lock = threads.identifiers(), threads.allocate_lock()
    _is_started = True
    _totals["start"] = time.process_time()
    if _IS_LINUX:
        _read_threads()  # "start" has all that they used so far
    if greenlets:
        _watch_greenlets()
    gc.callbacks.append(_note_collection)


def _watch_greenlets() -> None:
    global _running, _since, _hub_thread, _hub_ident
    import greenlet  # noqa: PLC0415 - loaded already: the process has a hub
    from gevent import get_hub  # noqa: PLC0415

    _hub_thread, _hub_ident, _since, _running = _native_id(), _get_ident(), _clock(), BACKGROUND
    greenlet.settrace(_make_hook(get_hub()))


def is_started() -> bool:
    """Whether this process keeps accounts."""
    return _is_started


def _note_collection(phase: str, _info: dict[str, int]) -> None:
    """Take a garbage collection out of what it interrupts. Only one runs at a time, in whatever thread."""
    global _collected, _collecting, _since  # noqa: PLW0603 - sums of the process
    now = _clock()
    if phase == "start":
        _collecting = now
        if _get_ident() == _hub_ident:
            _charge()
        return
    used = now - _collecting
    _collected += used
    if _get_ident() == _hub_ident:
        _since = now
        return
    thread = _native_id()
    _credited[thread] += used
    if thread in _errands:
        _errands[thread].struck += used


def read_totals() -> dict[str, float]:
    """The CPU seconds of this process by kind, up to now. Work that lasts is booked while it goes on.

    What began since the last call is left for its end: only then it is known what kind it is.
    """
    for account in (HUB, BACKGROUND, LIVE):
        account.book(account.kind)
    if _IS_LINUX:
        for errand in list_errands():
            errand.settle()
        _totals["threads"] += _read_threads()
    for account, serves in list(_busy.items()):
        if _long_busy.get(account) is serves:
            account.book(account.kind)
    _long_busy.clear()
    _long_busy.update(_busy)
    _totals["gc"] = _collected
    return dict(_totals)


_long_busy: dict[Account, Any] = {}
