"""Limit how many live connections an address or a member may have, counted over all workers of all hosts.

Each worker keeps its own counts in the store, in one hash that expires when the worker stops renewing it: a killed
worker holds no places for longer than ``_LEASE``. A new connection costs one script; closed connections are reported
later, many at once. While the store is down, each worker counts alone. A store that has lost its
data gets all counts again.
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
_LEASE: Final = 6.0  # seconds without renewal after which a worker's counts expire
_RENEWED: Final = 1.0
_MOST_AT_ONCE = 200  # counts in one script, during which the store does nothing else
_DOWN = (StoreDownError, RedisError)

# Count one more for this worker, if that is within the limit together with the other workers' counts. The store may
# know a lower count of this worker than the worker does (it lost its data), or a higher one (takes are under way).
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

# Store some of this worker's counts and renew its lease; returns 1 if the store had no counts of this worker.
_REPORT: Final = """
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


class ConnectionLimits:
    """One worker's counts by key (an address or a member); ``worker`` is its name among the workers."""

    def __init__(self, app: Flask, worker: str) -> None:
        self._app = app
        self._worker = worker
        self._own: Counter[str] = Counter()
        self._unreported: set[str] = set()
        self._is_due = False
        self._turn = BoundedSemaphore(1)  # otherwise an older count could reach the store last

    def take(self, key: str, most: int) -> bool:
        """Count one more connection of ``key``; False, and not counted, if there are ``most`` already."""
        if self._own[key] >= most or not self._fits(key, most):
            return False
        self._unreported.add(key)  # an older count may have been reported while the store was asked
        if self._own[key] >= most:  # the store was down, and others were counted meanwhile
            return False
        self._own[key] += 1
        return True

    def give_back(self, key: str) -> None:
        """Count one connection less; returns at once."""
        self._own[key] -= 1
        if self._own[key] <= 0:
            del self._own[key]
        self._unreported.add(key)
        if not self._is_due:
            self._is_due = True
            gevent.spawn(self._report_all)

    def run(self) -> None:
        """Renew this worker's lease, for ever."""
        while True:
            if self._own or self._unreported:
                self._report_all()
            gevent.sleep(_RENEWED)

    def farewell(self) -> None:
        """Remove this worker's counts: it is stopping."""
        self._own.clear()
        with self._app.app_context(), suppress(*_DOWN):  # if this fails, the counts expire a little later
            store.client.delete(f"{_WORKERS}:{self._worker}")

    def _fits(self, key: str, most: int) -> bool:
        try:
            return bool(self._script(_TAKE, key, self._own[key], most, _milliseconds()))
        except _DOWN:
            return True

    def _report_all(self) -> None:
        with self._turn:
            self._is_due = False
            while self._report() and self._unreported:
                pass

    def _report(self) -> bool:
        """Store some of the changed counts; False if the store is down, and they wait."""
        keys = [self._unreported.pop() for _ in range(min(len(self._unreported), _MOST_AT_ONCE))]
        counts = [part for key in keys for part in (key, self._own.get(key, 0))]
        try:
            unknown = self._script(_REPORT, _milliseconds(), *counts)
        except _DOWN:
            self._unreported.update(keys)
            return False
        if unknown:
            self._unreported.update(self._own)
        return True

    def _script(self, lua: str, *args: Any) -> Any:
        with self._app.app_context():
            client = store.client
        return client.register_script(lua)(keys=[_WORKERS], args=[self._worker, *args])


def _milliseconds() -> int:
    return int(_LEASE * 1000)
