"""What the kernel would not take yet of one connection: bounded, and gone as soon as it is written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

MOST_BYTES = 1 << 20


class FullError(Exception):
    """The client reads too slowly; ``frames`` are those that it will not get."""

    def __init__(self, frames: int) -> None:
        super().__init__("client reads too slowly")
        self.frames = frames


class Outbox:
    """Frames in the order in which they were sent; the first may have gone in part."""

    __slots__ = ("_bytes", "_frames", "_most", "_watcher")

    def __init__(self, rest: bytes, watcher: Any, write: Callable[[], None], most: int) -> None:
        self._frames = deque([rest])
        self._bytes = len(rest)
        self._most = most
        self._watcher = watcher
        watcher.start(write)

    def put(self, frame: bytes) -> None:
        """Send ``frame`` after the others. Raises FullError instead of holding more than is allowed."""
        if len(self._frames) > self._most or self._bytes + len(frame) > MOST_BYTES:
            raise FullError(len(self._frames) + 1)
        self._frames.append(frame)
        self._bytes += len(frame)

    def end_with(self, frame: bytes) -> None:
        """Forget what is queued but the rest of a frame that has begun, which nobody could leave out."""
        while len(self._frames) > 1:
            self._frames.pop()
        self._frames.append(frame)
        self._bytes = sum(map(len, self._frames))

    def write(self, send: Callable[[bytes], int]) -> bool:
        """Write what the kernel takes now; whether everything has gone. Raises OSError."""
        while self._frames:
            frame = self._frames[0]
            try:
                sent = send(frame)
            except BlockingIOError:
                return False
            self._bytes -= sent
            if sent < len(frame):
                self._frames[0] = frame[sent:]
                return False
            self._frames.popleft()
        return True

    def stop(self) -> None:
        """Watch the socket no longer."""
        self._watcher.stop()
        self._watcher.close()
