"""How many live connections an address or a member has, on all workers of all hosts together.

Each worker keeps its own counts in the store, in one hash that ends by itself when the worker no longer says that it
is there: whoever is killed holds nobody's place for longer than ``_LEASE``. What is asked when somebody comes is one
script; what is given back is said later, many at once. While the store is down each worker counts alone, and a store
that has forgotten everything is told all of it again.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.lock import BoundedSemaphore
from redis.exceptions import RedisError

from church.extensions import store
from church.store import StoreDownError

if TYPE_CHECKING:
    from flask import Flask

_WORKERS: Final = "church:live:workers"
_LEASE: Final = 6.0  # seconds for which the counts of a worker that says nothing are believed
_RENEWED: Final = 1.0
_MOST_AT_ONCE = 200  # counts in one script: the store does nothing else meanwhile
_DOWN = (StoreDownError, RedisError)

# One more of this worker's, if that is not too many with those of the others; a store that was emptied knows less of
# this worker than it does itself, and more while others of it are on their way.
_TAKE: Final = """
local own = KEYS[1] .. ':' .. ARGV[1]
local count = math.max(tonumber(redis.call('HGET', own, ARGV[2]) or 0), tonumber(ARGV[3])) + 1
local sum = count
for _, worker in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local counts = KEYS[1] .. ':' .. worker
  if redis.call('EXISTS', counts) == 0 then
    redis.call('SREM', KEYS[1], worker)
  elseif worker ~= ARGV[1] then
    sum = sum + tonumber(redis.call('HGET', counts, ARGV[2]) or 0)
  end
end
if sum > tonumber(ARGV[4]) then return 0 end
redis.call('HSET', own, ARGV[2], count)
redis.call('PEXPIRE', own, ARGV[5])
redis.call('SADD', KEYS[1], ARGV[1])
return 1
"""

# This worker's counts of some, and that it is there; 1 where the store knew nothing of it.
_SAY: Final = """
local own = KEYS[1] .. ':' .. ARGV[1]
local unknown = redis.call('HSETNX', own, '', 1)
for i = 3, #ARGV, 2 do
  if ARGV[i + 1] == '0' then redis.call('HDEL', own, ARGV[i])
  else redis.call('HSET', own, ARGV[i], ARGV[i + 1]) end
end
redis.call('PEXPIRE', own, ARGV[2])
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], 3600000)
return unknown
"""


class Shares:
    """The counts of one worker, by who is counted; ``worker`` is its name among the others."""

    def __init__(self, app: Flask, worker: str) -> None:
        self._app = app
        self._worker = worker
        self._own: Counter[str] = Counter()
        self._unsaid: set[str] = set()
        self._is_due = False
        self._turn = BoundedSemaphore(1)  # else an older count might be the last that is heard

    def take(self, who: str, most: int) -> bool:
        """Count one more connection of ``who``; False, and not counted, where ``most`` are there already."""
        if self._own[who] >= most or not self._fits(who, most):
            return False
        self._unsaid.add(who)  # while we asked, an older count may have been said
        if self._own[who] >= most:  # nobody could be asked, and others have come meanwhile
            return False
        self._own[who] += 1
        return True

    def give_back(self, who: str) -> None:
        """Count one less; returns at once."""
        self._own[who] -= 1
        if self._own[who] <= 0:
            del self._own[who]
        self._unsaid.add(who)
        if not self._is_due:
            self._is_due = True
            gevent.spawn(self._say_all)

    def run(self) -> None:
        """Say that this worker is there, for ever."""
        while True:
            if self._own or self._unsaid:
                self._say_all()
            gevent.sleep(_RENEWED)

    def farewell(self) -> None:
        """This worker has nobody any more."""
        self._own.clear()
        with self._app.app_context(), suppress(*_DOWN):  # it is forgotten without that, too, a little later
            store.client.delete(f"{_WORKERS}:{self._worker}")

    def _fits(self, who: str, most: int) -> bool:
        try:
            return bool(self._script(_TAKE, who, self._own[who], most, _milliseconds()))
        except _DOWN:
            return True

    def _say_all(self) -> None:
        with self._turn:
            self._is_due = False
            while self._say() and self._unsaid:
                pass

    def _say(self) -> bool:
        """Say what has changed, or some of it; False where it was not heard, and waits."""
        said = [self._unsaid.pop() for _ in range(min(len(self._unsaid), _MOST_AT_ONCE))]
        counts = [part for who in said for part in (who, self._own.get(who, 0))]
        try:
            unknown = self._script(_SAY, _milliseconds(), *counts)
        except _DOWN:
            self._unsaid.update(said)
            return False
        if unknown:
            self._unsaid.update(self._own)
        return True

    def _script(self, lua: str, *args: Any) -> Any:
        with self._app.app_context():
            client = store.client
        return client.register_script(lua)(keys=[_WORKERS], args=[self._worker, *args])


def _milliseconds() -> int:
    return int(_LEASE * 1000)
