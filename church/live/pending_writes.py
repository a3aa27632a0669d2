"""Queue of frames that one client's socket does not take yet; bounded in frames and bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

MAX_BYTES = 1 << 20


class QueueFullError(Exception):
    """The client reads too slowly: its queue is full."""


class PendingWrites:
    """Frames in sending order; part of the first may be sent already.

    Each frame has a kind, by which it is counted once the kernel has taken all of it. A control frame's kind is empty.
    """

    __slots__ = ("_bytes", "_frames", "_most", "_watcher")

    def __init__(self, rest: bytes, kind: str, watcher: Any, write: Callable[[], None], most: int) -> None:
        self._frames = deque([(rest, kind)])
        self._bytes = len(rest)
        self._most = most
        self._watcher = watcher
        watcher.start(write)

    @property
    def is_empty(self) -> bool:
        """Whether everything has been sent."""
        return not self._frames

    @property
    def messages(self) -> int:
        """Number of queued messages; control frames do not count."""
        return sum(1 for _, kind in self._frames if kind)

    def put(self, frame: bytes, kind: str) -> None:
        """Queue ``frame``. Raises QueueFullError when the queue has no space for it."""
        if len(self._frames) > self._most or self._bytes + len(frame) > MAX_BYTES:
            raise QueueFullError
        self._frames.append((frame, kind))
        self._bytes += len(frame)

    def end_with(self, frame: bytes) -> int:
        """Drop the queue, send ``frame`` as the last one, and return how many messages were dropped.

        The first frame stays: part of it may be sent, and the client could not read anything after half a frame.
        """
        first, before = self._frames[0], self.messages
        self._frames = deque([first])
        dropped = before - self.messages
        self._frames.append((frame, ""))
        self._bytes = len(first[0]) + len(frame)
        return dropped

    def write(self, send: Callable[[bytes], int]) -> Iterator[str]:
        """Write what the kernel takes now; yield the kind of each completed frame. Raises OSError."""
        while self._frames:
            frame, kind = self._frames[0]
            try:
                sent = send(frame)
            except BlockingIOError:
                return
            self._bytes -= sent
            if sent < len(frame):
                self._frames[0] = (frame[sent:], kind)
                return
            self._frames.popleft()
            yield kind

    def stop(self) -> None:
        """Stop watching the socket."""
        self._watcher.stop()
        self._watcher.close()
