"""What the kernel would not take yet of one connection: bounded, and gone as soon as it is written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

MOST_BYTES = 1 << 20


class FullError(Exception):
    """The client reads too slowly: this frame is one too many."""


class Outbox:
    """Frames in the order in which they were sent; the first may have gone in part.

    Each has its kind, by which it is counted when the kernel has all of it; what is no message has none.
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
        """Whether everything has gone."""
        return not self._frames

    @property
    def messages(self) -> int:
        """How many messages wait."""
        return sum(1 for _, kind in self._frames if kind)

    def put(self, frame: bytes, kind: str) -> None:
        """Send ``frame`` after the others. Raises FullError instead of holding more than is allowed."""
        if len(self._frames) > self._most or self._bytes + len(frame) > MOST_BYTES:
            raise FullError
        self._frames.append((frame, kind))
        self._bytes += len(frame)

    def end_with(self, frame: bytes) -> int:
        """Forget what is queued but the rest of a frame that has begun, which nobody could leave out; how much it was.

        Only messages count.
        """
        first, waiting = self._frames[0], self.messages
        self._frames = deque([first])
        forgotten = waiting - self.messages
        self._frames.append((frame, ""))
        self._bytes = len(first[0]) + len(frame)
        return forgotten

    def write(self, send: Callable[[bytes], int]) -> Iterator[str]:
        """Write what the kernel takes now; the kinds of the frames that have gone. Raises OSError."""
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
        """Watch the socket no longer."""
        self._watcher.stop()
        self._watcher.close()
