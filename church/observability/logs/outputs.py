"""Write log lines to two files and the console; no request waits for it.

A process queues its lines; a real thread for each sink writes them in batches. It sleeps until the first line comes,
and then gathers more for a moment. A sink that is stuck (a blocked pipe, a full disk) fills its own bounded queue;
further lines are dropped and counted. Before the fork, and where no thread was started, lines are written at once, or
dropped if that would block.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
from collections import deque
from collections.abc import Callable
from pathlib import Path

from church.lib import threads
from church.observability import raise_in_tests

Dropped = Callable[[int], None]
Line = bytes | Callable[[], bytes]
"""A line that ends with a newline, or what makes one; that is called by the thread that writes."""

_QUEUE_LINES = 20_000
_BATCH_BYTES = 1 << 18
_PIPE_ATOMIC = 4096
_INTERVAL = 0.05  # seconds from a batch's first line to its writing: kill -9 may lose the lines of one
_LAST_WAIT = 1.0  # seconds that stop() waits for the batch that is being written


class Sink:
    """A bounded queue of lines before one file descriptor; subclasses open it. ``dropped`` counts lost lines."""

    def __init__(self, dropped: Dropped, most: int = 0) -> None:
        self._dropped = dropped
        self._most = most or _QUEUE_LINES
        self._started_in = 0
        self._stopped = False
        self._renew()

    def _renew(self) -> None:
        """Begin with an empty queue and free locks; a forked child leaves those of its parent's threads alone."""
        self._queue: deque[Line] = deque()
        self._turn = threads.allocate_rlock()  # one writer at a time: the thread, or flush() at the end
        self._idle = threads.allocate_lock()  # held while no line has come; the thread waits for it
        self._idle.acquire()
        self._pid = os.getpid()

    def put(self, line: Line) -> None:
        """Take a line; never blocks, never raises, in a signal handler neither."""
        pid = os.getpid()
        if self._pid != pid:
            self._renew()
        if len(self._queue) >= self._most:
            self._dropped(1)
            return
        self._queue.append(line)
        if self._started_in == pid:
            self._wake()
        else:
            self.flush(0 if self._stopped else -1)

    def start(self) -> None:
        """Write from a thread of this process from now on; call it after the fork."""
        if self._pid != os.getpid():
            self._renew()
        self._started_in = self._pid
        threads.start_thread(self._run)

    def _wake(self) -> None:
        """Let the thread write soon. Costs nothing if it is awake; any thread or signal handler may call this."""
        if self._idle.locked():
            with contextlib.suppress(RuntimeError):  # another caller was faster
                self._idle.release()

    def _run(self) -> None:
        while not self._stopped and self._started_in == self._pid:
            self._idle.acquire()
            threads.sleep(_INTERVAL)
            self._idle.acquire(False)  # before the queue is read: lines that come from here on wake the thread again
            self.flush()

    def flush(self, wait: float = -1) -> None:
        """Write the queued lines; waits ``wait`` seconds at most for the writing thread, -1 for as long as it takes.

        In a signal handler that has interrupted ``flush`` it returns at once, and the interrupted call writes the line.
        """
        while not self._turn._is_owned() and self._turn.acquire(wait != 0, wait or -1):
            try:
                while self._queue:
                    self._write_batch()
            finally:
                self._turn.release()
            if not self._queue:  # else a handler has added a line just now
                return

    def _write_batch(self) -> None:
        lines: list[bytes] = []
        size = 0
        while size < self._batch_bytes() and (line := self._next_line()) is not None:
            lines.append(line)
            size += len(line)
        try:
            self._write(b"".join(lines))
        except (OSError, ValueError):
            self._dropped(len(lines))

    def _next_line(self) -> bytes | None:
        """Take the next line from the queue; one that cannot be made is dropped."""
        while True:
            try:
                line = self._queue.popleft()
            except IndexError:
                return None
            try:
                return line if isinstance(line, bytes) else line()
            except Exception:
                if raise_in_tests.on:
                    raise
                self._dropped(1)

    def _batch_bytes(self) -> int:
        return _BATCH_BYTES

    def _write(self, data: bytes) -> None:
        raise OSError("closed")

    def stop(self) -> None:
        """Write the rest and end the thread; lines that still come are written at once, or dropped."""
        self._stopped = True
        self._started_in = 0
        self._wake()
        self.flush(wait=_LAST_WAIT)


class FileSink(Sink):
    """A file that many processes append to; it is opened anew after logrotate has moved it away."""

    def __init__(self, path: Path, dropped: Dropped, most: int = 0) -> None:
        super().__init__(dropped, most)
        self.path = path
        self._fd = -1
        self._torn = False

    def _open(self) -> None:
        """Open the file if its path now leads to another inode. Each write is one append: lines never mix."""
        with contextlib.suppress(OSError):
            here, there = os.fstat(self._fd), os.stat(self.path)
            if (here.st_ino, here.st_dev) == (there.st_ino, there.st_dev):
                return
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._torn = False

    def _write(self, data: bytes) -> None:
        self._open()
        if self._torn:
            data = b"\n" + data
        written = os.write(self._fd, data)
        self._torn = written < len(data) and not data[:written].endswith(b"\n")
        if written < len(data):  # the disk is full: the rest is lost, and counted
            self._dropped(data[written:].count(b"\n"))


class ConsoleSink(Sink):
    """Standard error: ``for_people`` formats the lines if it is a terminal; elsewhere they stay JSON."""

    def __init__(self, for_people: Callable[[bytes], bytes], dropped: Dropped, fd: int = 2) -> None:
        super().__init__(dropped)
        self._fd = fd
        self._format = for_people if os.isatty(fd) else None

    def _batch_bytes(self) -> int:
        return _PIPE_ATOMIC if self._started_in != os.getpid() else _BATCH_BYTES

    def _write(self, data: bytes) -> None:
        if self._format is not None:
            data = b"".join(self._format(line) for line in data.splitlines(keepends=True))
        while data:
            if self._started_in != os.getpid() and not self._has_room():
                raise OSError("the console is blocked")
            data = data[os.write(self._fd, data[: self._batch_bytes()]) :]

    def _has_room(self) -> bool:
        mode = os.fstat(self._fd).st_mode
        return stat.S_ISREG(mode) or bool(select.select([], [self._fd], [], 0)[1])
