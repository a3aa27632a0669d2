"""A bounded pool of real threads for heavy work, with turns between those who send it.

One sender may not keep all others out: what waits is bounded for each sender, free threads go to the senders in turn,
and a full queue makes room for a newcomer by dropping the last work of the sender that has most waiting.
"""

from __future__ import annotations

import os
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, TypeVarTuple, Unpack, cast

from church.errors import BusyError
from church.lib.cpu_accounts import credit_caller
from church.lib.per_process import PerProcess
from church.lib.threads import capture_outcome, is_patched

if TYPE_CHECKING:
    from gevent.event import Event
    from gevent.threadpool import ThreadPool

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")
_LOWEST_PRIORITY = 19


@dataclass(frozen=True)
class Share:
    """How much work with the same ``key`` may wait at once."""

    key: str
    most: int


@dataclass(frozen=True, eq=False)
class _Entry(Generic[_T]):
    item: _T
    sender: str
    keys: frozenset[str]


class FairQueue(Generic[_T]):
    """At most ``most`` items that wait, in turns between their senders, and in order for each sender."""

    def __init__(self, most: int) -> None:
        self._everyone = Share("", most)
        self._lines: OrderedDict[str, deque[_Entry[_T]]] = OrderedDict()  # by sender; the first has the next turn
        self._served = ""

    def put(self, item: _T, sender: str, shares: tuple[Share, ...]) -> list[_T]:
        """Let ``item`` wait, and return the items that lose their place to it. Raises BusyError if it gets none.

        A full share makes room only for a sender that has less waiting in it than another.
        """
        bounds = (*shares, self._everyone)
        displaced: set[_Entry[_T]] = set()
        for share in bounds:
            inside = [entry for entry in self._entries() if share.key in entry.keys and entry not in displaced]
            if len(inside) >= share.most:
                displaced.add(_last_of_longest(inside, sender))
        for entry in displaced:
            self._discard(entry)
        keys = frozenset(share.key for share in bounds)
        self._line_of(sender).append(_Entry(item, sender, keys))
        return [entry.item for entry in displaced]

    def note_turn(self, sender: str) -> None:
        """Remember that ``sender`` has a turn now, so that newcomers come before its next."""
        self._served = sender

    def pop(self) -> _T | None:
        """Take the next item out; its sender goes to the end of the turns. None if nothing waits."""
        if not self._lines:
            return None
        sender, line = self._lines.popitem(last=False)
        entry = line.popleft()
        if line:
            self._lines[sender] = line
        self.note_turn(sender)
        return entry.item

    def remove(self, item: _T) -> bool:
        """Take ``item`` out; False if it does not wait."""
        entry = next((entry for entry in self._entries() if entry.item is item), None)
        if entry is not None:
            self._discard(entry)
        return entry is not None

    def _line_of(self, sender: str) -> deque[_Entry[_T]]:
        """The line of ``sender``; a new one comes before the sender that has just had its turn, after all others."""
        line = self._lines.get(sender)
        if line is None:
            line = self._lines[sender] = deque()
            if self._served != sender and self._served in self._lines:
                self._lines.move_to_end(self._served)
        return line

    def _entries(self) -> list[_Entry[_T]]:
        return [entry for line in self._lines.values() for entry in line]

    def _discard(self, entry: _Entry[_T]) -> None:
        line = self._lines[entry.sender]
        line.remove(entry)
        if not line:
            del self._lines[entry.sender]


def _last_of_longest(entries: list[_Entry[_T]], newcomer: str) -> _Entry[_T]:
    """The entry that makes room for ``newcomer``. Raises BusyError if no other sender has more than it would have."""
    waiting = Counter(entry.sender for entry in entries)
    longest, count = waiting.most_common(1)[0] if waiting else ("", 0)
    if count < waiting[newcomer] + 2:
        raise BusyError
    return next(entry for entry in reversed(entries) if entry.sender == longest)


class _Waiter:
    """A greenlet that waits for a thread."""

    __slots__ = ("granted", "woken")

    def __init__(self, woken: Event) -> None:
        self.woken = woken
        self.granted = False

    def wake(self, *, granted: bool) -> None:
        self.granted = granted
        self.woken.set()


class FairPool:
    """``threads`` real threads in a gevent worker, for which at most ``queue`` callers wait, by turns.

    Separate from the hub's own pool, so that heavy work does not delay page rendering. On Linux the threads run with a
    lower priority, by ``nice`` (setpriority(2): niceness belongs to a thread there). In a process that gevent has not
    patched, ``run`` calls directly.
    """

    def __init__(self, threads: Callable[[], int] | int, queue: int, nice: int) -> None:
        self._threads = threads
        self._most_waiting = queue
        self._nice = nice
        self._pool = PerProcess(self._make_pool)  # a forked child has none of its parent's threads

    def run(self, sender: str, shares: tuple[Share, ...], fn: Callable[[Unpack[_Args]], _T], *args: *_Args) -> _T:
        """Call ``fn(*args)`` in a thread when it is ``sender``'s turn, and return its value or raise its exception.

        ``fn`` must not log, take locks, or touch the request or the database. Raises BusyError if the queue, or one of
        the ``shares``, has no place, or if it loses its place to another sender.
        """
        if not is_patched():
            return fn(*args)
        pool = self._pool()
        self._wait_for_thread(sender, shares)
        value, error = self._call(pool, fn, args)
        if error is not None:
            raise error
        result: _T = value
        return result

    def _wait_for_thread(self, sender: str, shares: tuple[Share, ...]) -> None:
        if self._free:
            self._free -= 1
            self._queue.note_turn(sender)
            return
        from gevent.event import Event  # noqa: PLC0415 - loaded already: the process is patched

        waiter = _Waiter(Event())
        for loser in self._queue.put(waiter, sender, shares):
            loser.wake(granted=False)
        try:
            waiter.woken.wait()
        except BaseException:  # the greenlet of the request was killed
            if not self._queue.remove(waiter) and waiter.granted:
                self._pass_on()
            raise
        if not waiter.granted:
            raise BusyError

    def _call(self, pool: ThreadPool, fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Exception | None]:
        """Call ``fn`` in a free thread; it is passed on when it is done, even if nobody waits for the result."""
        try:
            work = pool.spawn(credit_caller(_call_with_niceness), self._niceness, fn, args)
        except BaseException:
            self._pass_on()
            raise
        work.rawlink(lambda _work: self._pass_on())
        return cast(tuple[Any, Exception | None], work.get())

    def _pass_on(self) -> None:
        """Give a thread that has become free to the next waiter."""
        waiter = self._queue.pop()
        if waiter is None:
            self._free += 1
        else:
            waiter.wake(granted=True)

    def _make_pool(self) -> ThreadPool:
        from gevent.threadpool import ThreadPool  # noqa: PLC0415 - takes the hub of the thread that imports it

        self._free = self._threads() if callable(self._threads) else self._threads
        self._queue: FairQueue[_Waiter] = FairQueue(self._most_waiting)
        self._niceness = min(os.getpriority(os.PRIO_PROCESS, os.getpid()) + self._nice, _LOWEST_PRIORITY)
        return ThreadPool(self._free)


def _call_with_niceness(niceness: int, fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    """Lower this thread's priority, then call ``fn``; on Linux, pid 0 is the calling thread."""
    if sys.platform == "linux" and os.getpriority(os.PRIO_PROCESS, 0) < niceness:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    return capture_outcome(fn, args)
