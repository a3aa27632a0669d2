"""Count requests against limits: in the worker's memory and soon in the store, or in the store at once.

Most requests are counted in memory, without a call. The settler adds what has changed to the store, in one script every
``INTERVAL`` seconds, and its reply says what all workers have counted. A worker refuses as soon as that total and its
own requests since then reach the limit. So a worker alone never exceeds a limit, and several exceed it by no more than
what all but one of them let by within ``INTERVAL`` and one call.

An exact limit (``exact=True``) is counted in the store before the request goes on, and is never exceeded.

While the store is down, each worker counts everything in memory, from the last total that it has. Only the settler
then calls the store, so that no request waits for it. Once it answers, it gets what was counted in windows that have
not ended.

A window begins with the first request of its key. Workers measure it by the monotonic clock. The store measures it by
its host's clock, so each use of a key cuts what is left to one whole window: a clock that is set back holds nobody up
for longer, and one that is set forward ends each window once.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from church.lib.threads import start_beside
from church.store.client import RETRY_AFTER, StoreDownError

log = logging.getLogger("church.store")

INTERVAL = 0.05  # seconds from one call of the settler to the next
MOST_WINDOWS = 20_000  # of each length in memory; 8 MB
_MOST_AT_ONCE = 500  # keys in one script, during which the store does nothing else
_LINGER = 5.0  # seconds without requests after which the settler's thread ends

# Each key has four arguments: how many to add (below zero to give back), the total that it may reach (empty: any),
# milliseconds of a new window and of a whole one. Adds to all keys, or to none if one would exceed its total. Returns
# whether it has added, then the total and the milliseconds left of each key.
_ADD_ALL_OR_NONE: Final = """
local fits = 1
for i, key in ipairs(KEYS) do
  local most = tonumber(ARGV[4 * i - 2])
  if most and (tonumber(redis.call('GET', key)) or 0) + ARGV[4 * i - 3] > most then fits = 0 end
end
local reply = {fits}
for i, key in ipairs(KEYS) do
  local add, whole = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i])
  local total = tonumber(redis.call('GET', key)) or 0
  if fits == 1 and add ~= 0 and total + add >= 0 then
    total = redis.call('INCRBY', key, add)
  end
  local left = redis.call('PTTL', key)
  if left == -1 then
    left = tonumber(ARGV[4 * i - 1])
    redis.call('PEXPIRE', key, left)
  elseif left > whole then
    left = whole
    redis.call('PEXPIRE', key, left)
  end
  reply[2 * i] = total
  reply[2 * i + 1] = math.max(left, 0)
end
return reply
"""


class KeyLimit(NamedTuple):
    """How often ``key`` may be counted in a window of ``seconds``."""

    key: str
    amount: int
    seconds: int


class CountingStore(Protocol):
    """What the counters need of a ``StoreClient``. The last two raise StoreDownError."""

    def ping(self) -> bool: ...
    def run_script(self, lua: str, keys: Sequence[str], args: Sequence[str | int]) -> Any: ...
    def delete(self, key: str) -> None: ...


class _Window:
    """The current window of a key, as this worker knows it."""

    __slots__ = ("ends", "key", "seconds", "sending", "total", "unsettled")

    def __init__(self, key: str, seconds: int, now: float) -> None:
        self.key = key
        self.seconds = seconds
        self.ends = now + seconds  # by the monotonic clock
        self.total = 0  # in the store, of all workers
        self.sending = 0  # in the settler's current call
        self.unsettled = 0  # counted since

    @property
    def count(self) -> int:
        return self.total + self.sending + self.unsettled


class _Add(NamedTuple):
    """The arguments of ``_ADD_ALL_OR_NONE`` for one key; ``left`` and ``whole`` in seconds."""

    key: str
    add: int
    most: int | None
    left: float
    whole: int


class _Reply(NamedTuple):
    """The answer of ``_ADD_ALL_OR_NONE``: the total and the seconds left of each key."""

    fits: bool
    windows: list[tuple[int, float]]


class RateCounters:
    """The counters of one worker. ``wake`` is called when there is something to settle, by default the settler's."""

    def __init__(
        self,
        store: CountingStore,
        clock: Callable[[], float] = time.monotonic,
        wake: Callable[[], None] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake or Settler(self.settle).wake
        self._lock = threading.Lock()  # of what is below; never held during a call
        self._settling = threading.Lock()
        # By length, each in the order of beginning: what ends first is dropped first, so that a flood of new
        # one-minute windows leaves the one-hour windows of password guessing alone.
        self._windows: defaultdict[int, OrderedDict[str, _Window]] = defaultdict(OrderedDict)
        self._changed: OrderedDict[str, _Window] = OrderedDict()
        self._store_is_down = False

    # -- counting ------------------------------------------------------------------------------------------------------

    def take(self, *limits: KeyLimit, exact: bool = False) -> int | None:
        """Count one more for each key and return None; or return the seconds to wait, and count nothing.

        It is nothing as soon as one key has reached its limit, so that refused requests use up no other key's.
        """
        if exact:
            reply = self._call([_now(limit, 1, limit.amount) for limit in limits])
            if reply is not None:
                self._learn(limits, reply)
                return None if reply.fits else _longest_wait(limits, reply)
        return self._take_in_memory(limits)

    def add(self, limit: KeyLimit) -> int:
        """Count one more for the key, exactly and even beyond its limit. Returns the window's total."""
        reply = self._call([_now(limit, 1)])
        if reply is None:
            return self._add_in_memory(limit)
        self._learn([limit], reply)
        return reply.windows[0][0]

    def give_back(self, limit: KeyLimit) -> None:
        """Count one less for the key. A count of zero, or of a window that has ended, stays as it is."""
        reply = self._call([_now(limit, -1)])
        if reply is None:
            self._give_back_in_memory(limit)
        else:
            self._learn([limit], reply)

    def seconds_until_free(self, limit: KeyLimit) -> int | None:
        """Seconds until the key is below its limit again; None if it is below now. Counts nothing."""
        reply = self._call([_now(limit, 0)])
        if reply is None:
            total, left = self._look_in_memory(limit)
        else:
            self._learn([limit], reply)
            total, left = reply.windows[0]
        return None if total < limit.amount else _whole_seconds(left, limit.seconds)

    def reset(self, limit: KeyLimit) -> None:
        """Forget what was counted for the key; while the store is down, what this worker has counted."""
        with self._lock:
            self._windows[limit.seconds].pop(limit.key, None)
            self._changed.pop(limit.key, None)
        if not self._store_is_down:
            try:
                self._store.delete(limit.key)
            except StoreDownError:
                self._store_is_down = True

    # -- in memory -----------------------------------------------------------------------------------------------------

    def _take_in_memory(self, limits: Sequence[KeyLimit]) -> int | None:
        now = self._clock()
        with self._lock:
            windows = [self._current(limit, now) for limit in limits]
            waits = [
                _whole_seconds(window.ends - now, window.seconds)
                for window, limit in zip(windows, limits, strict=True)
                if window.count >= limit.amount
            ]
            if waits:
                return max(waits)
            for window in windows:
                self._count(window)
        self._wake()
        return None

    def _add_in_memory(self, limit: KeyLimit) -> int:
        with self._lock:
            window = self._current(limit, self._clock())
            self._count(window)
            return window.count

    def _give_back_in_memory(self, limit: KeyLimit) -> None:
        with self._lock:
            window = self._windows[limit.seconds].get(limit.key)
            if window is not None and self._clock() < window.ends and window.count:
                self._count(window, -1)

    def _look_in_memory(self, limit: KeyLimit) -> tuple[int, float]:
        now = self._clock()
        with self._lock:
            window = self._windows[limit.seconds].get(limit.key)
            return (window.count, window.ends - now) if window is not None and now < window.ends else (0, 0.0)

    def _count(self, window: _Window, more: int = 1) -> None:
        window.unsettled += more
        self._changed[window.key] = window

    def _current(self, limit: KeyLimit, now: float) -> _Window:
        """The key's window; it begins now if there was none."""
        windows = self._windows[limit.seconds]
        window = windows.get(limit.key)
        if window is not None and now < window.ends:
            return window
        windows.pop(limit.key, None)
        self._make_room(windows, now)
        window = windows[limit.key] = _Window(limit.key, limit.seconds, now)
        return window

    def _make_room(self, windows: OrderedDict[str, _Window], now: float) -> None:
        for _ in range(2):  # more than one, so that ended windows become fewer; not all, which could be thousands
            if not windows or (len(windows) < MOST_WINDOWS and now < next(iter(windows.values())).ends):
                return
            _, oldest = windows.popitem(last=False)
            if self._changed.get(oldest.key) is oldest:
                del self._changed[oldest.key]

    def _learn(self, limits: Sequence[KeyLimit], reply: _Reply) -> None:
        """Keep the store's totals: this worker counts on from them if the store goes down."""
        now = self._clock()
        with self._lock:
            for limit, (total, left) in zip(limits, reply.windows, strict=True):
                if total or limit.key in self._windows[limit.seconds]:
                    window = self._current(limit, now)
                    window.total, window.ends = total, now + left

    # -- with the store ------------------------------------------------------------------------------------------------

    def settle(self) -> bool:
        """Add to the store what has changed since the last time, and learn the totals. False if the store is down.

        After a failure the store is pinged first: a store that hangs may still do what it was sent, and would count
        each attempt.
        """
        with self._settling:
            if self._store_is_down and not self._store.ping():
                return False
            self._store_is_down = False
            return all(self._settle_some() for _ in range(math.ceil(len(self._changed) / _MOST_AT_ONCE)))

    def _settle_some(self) -> bool:
        now = self._clock()
        windows = self._take_changed(now)
        if not windows:
            return True
        try:
            reply = self._run([_Add(one.key, one.sending, None, one.ends - now, one.seconds) for one in windows])
        except StoreDownError:
            self._store_is_down = True
            self._put_back(windows)
            return False
        now = self._clock()
        with self._lock:
            for window, (total, left) in zip(windows, reply.windows, strict=True):
                window.total, window.sending, window.ends = total, 0, now + left
        return True

    def _take_changed(self, now: float) -> list[_Window]:
        """The next windows to settle, without those that ended meanwhile."""
        windows: list[_Window] = []
        with self._lock:
            while self._changed and len(windows) < _MOST_AT_ONCE:
                _, window = self._changed.popitem(last=False)
                if now < window.ends:
                    window.sending, window.unsettled = window.unsettled, 0
                    windows.append(window)
        return windows

    def _put_back(self, windows: list[_Window]) -> None:
        with self._lock:
            for window in windows:
                window.unsettled += window.sending
                window.sending = 0
                if self._windows[window.seconds].get(window.key) is window:
                    self._changed[window.key] = window

    def _call(self, adds: list[_Add]) -> _Reply | None:
        """Count in the store for a request; None while it is down. Wakes the settler if that has something to do."""
        reply = None
        if not self._store_is_down:
            try:
                reply = self._run(adds)
            except StoreDownError:
                self._store_is_down = True
        if self._changed or self._store_is_down:
            self._wake()
        return reply

    def _run(self, adds: list[_Add]) -> _Reply:
        args: list[str | int] = []
        for _, add, most, left, whole in adds:
            args += (add, "" if most is None else most, max(math.ceil(left * 1000), 1), whole * 1000)
        fits, *numbers = self._store.run_script(_ADD_ALL_OR_NONE, [one.key for one in adds], args)
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return _Reply(bool(fits), [(total, left / 1000) for total, left in pairs])


def _now(limit: KeyLimit, add: int, most: int | None = None) -> _Add:
    return _Add(limit.key, add, most, limit.seconds, limit.seconds)


def _longest_wait(limits: Sequence[KeyLimit], reply: _Reply) -> int:
    windows = zip(limits, reply.windows, strict=True)
    return max(_whole_seconds(left, limit.seconds) for limit, (total, left) in windows if total >= limit.amount)


def _whole_seconds(left: float, window: int) -> int:
    """Seconds for Retry-After: at least one, at most the window."""
    return min(max(math.ceil(left), 1), window)


class Settler:
    """Calls ``settle`` in the background, soon after ``wake`` and at most once every ``INTERVAL`` seconds.

    Its thread (a greenlet in a gevent worker) starts with the first ``wake``, sleeps without one, and ends when there
    is none for ``_LINGER`` seconds. While ``settle`` fails, it is called again each second.
    """

    def __init__(self, settle: Callable[[], bool]) -> None:
        self._settle = settle
        self._lock = threading.Lock()
        self._is_due = False
        self._event: threading.Event | None = None  # of the running thread

    def wake(self) -> None:
        """Settle soon. Costs nothing if that is due already."""
        if self._is_due:
            return
        with self._lock:
            self._is_due = True
            if self._event is not None:
                self._event.set()
                return
            self._event = threading.Event()
            self._event.set()
        start_beside("limits-settle", self._run, self._event)

    def _run(self, event: threading.Event) -> None:
        pause = INTERVAL
        while self._wait(event):
            time.sleep(pause)
            self._is_due = False
            began = time.monotonic()
            if self._try():
                pause = max(INTERVAL - (time.monotonic() - began), 0)
            else:
                pause = RETRY_AFTER
                self.wake()

    def _wait(self, event: threading.Event) -> bool:
        """Wait until there is something to do; False if the thread ends."""
        event.wait(_LINGER)
        with self._lock:
            if event.is_set():
                event.clear()
                return True
            self._event = None
            return False

    def _try(self) -> bool:
        try:
            return self._settle()
        except Exception:
            log.exception("limits not settled", extra={"event": "limits.failed"})
            return False
