"""SQLAlchemy's pool, with its connections given out in the order in which they were asked for."""

from __future__ import annotations

from sqlalchemy import QueuePool
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util.queue import Empty, QueueCommon

from church.lib.threads import Line


class _Connections(QueueCommon[ConnectionPoolEntry]):
    """The connections that are not in use. Never full: the pool makes no more than its size."""

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        self.maxsize, self.use_lifo = maxsize, use_lifo
        self._line: Line[ConnectionPoolEntry] = Line()

    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        """Take a connection; raises Empty."""
        try:
            return self._line.take(timeout if block else 0)
        except TimeoutError:
            raise Empty from None

    def get_nowait(self) -> ConnectionPoolEntry:
        return self.get(block=False)

    def put(self, item: ConnectionPoolEntry, block: bool = True, timeout: float | None = None) -> None:
        """Give a connection back."""
        del block, timeout
        self._line.give(item)

    def put_nowait(self, item: ConnectionPoolEntry) -> None:
        self.put(item)

    def qsize(self) -> int:
        return len(self._line)

    def empty(self) -> bool:
        return not len(self._line)

    def full(self) -> bool:
        return False


class FairPool(QueuePool):
    """A pool of at most ``pool_size`` connections; set ``max_overflow`` to 0."""

    _queue_class = _Connections
