"""A client connection that sends files by ``os.sendfile``: the kernel copies them, and other requests get their turn.

gevent's own socket reads a file in blocks of 8 KiB and sends each. This one never has the file's bytes in memory.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import time
from contextlib import suppress
from typing import Any, Self

import gevent
from gevent.hub import get_hub
from gevent.socket import socket
from gevent.threadpool import ThreadPool

from church.lib.cpu_accounts import credit_caller

SLICE = 512 * 1024
"""Bytes of one call. Another request waits for at most that, some tenths of a millisecond."""
_READ_AHEAD = 4 * 1024 * 1024
_READERS = 4  # threads that wait for disks
_CHECKS = 4  # how often, within ``patience``, to check whether the client has taken anything
_WRITABLE = 2  # libev's EV_WRITE


class CutShortError(OSError):
    """The file has fewer bytes than announced. Only closing the connection can tell the client."""


class FileSocket(socket):
    """A client connection. Before each slice it waits until it is writable, in one queue with all connections."""

    __slots__ = ()

    @classmethod
    def over(cls, plain: Any) -> FileSocket:
        """Take over the connection of ``plain``, which loses it."""
        return cls(plain.family, plain.type, plain.proto, fileno=plain.detach())

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send ``count`` bytes from ``offset`` on, like ``socket.sendfile``. Returns ``count``.

        Raises CutShortError if the file ends early, TimeoutError if the client takes nothing for ``file.patience``
        seconds (by default the socket's time-out), and OSError if the client is gone.
        """
        source = file.fileno()
        end = offset + (os.fstat(source).st_size - offset if count is None else count)
        first, counts = offset, hasattr(file, "sent")
        with _Turns(self.fileno(), getattr(file, "patience", self.gettimeout())) as turns:
            while offset < end:
                sent = _send_slice(self.fileno(), source, offset, min(SLICE, end - offset))
                offset += sent
                if counts:
                    file.sent += sent
                if offset < end:
                    turns.wait(offset)
        return offset - first


def _send_slice(sink: int, source: int, offset: int, size: int) -> int:
    """Send as much of one slice as the connection takes now. Raises CutShortError at the end of the file."""
    if _needs_disk(source, offset + size - 1):
        _readers().apply(credit_caller(_load), (source, offset))
    try:
        sent = os.sendfile(sink, source, offset, size)
    except BlockingIOError:
        return 0
    if not sent:
        raise CutShortError
    return sent


class _Turns:
    """The waits of one transfer, which ends if the client takes nothing for too long.

    One timer checks now and then whether anything was taken: a timer for each slice would cost as much as sending it.
    Acknowledged bytes count, so that a slow client is not given up while its buffer empties.
    """

    def __init__(self, sink: int, patience: float | None) -> None:
        self._sink = sink
        self._patience = patience
        self._watcher: Any = None
        self._timer: Any = None
        self._offset = 0
        self._taken = -1
        self._since = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for watcher in (self._watcher, self._timer):
            if watcher is not None:
                watcher.close()

    def wait(self, offset: int) -> None:
        """Let other requests run until the client takes more. Raises TimeoutError if it does not."""
        self._offset = offset
        hub = get_hub()
        if self._watcher is None:
            self._watcher = hub.loop.io(self._sink, _WRITABLE)
            if self._patience is not None:
                self._since = time.monotonic()
                self._timer = hub.loop.timer(self._patience / _CHECKS, self._patience / _CHECKS)
                self._timer.start(self._check, gevent.getcurrent())
        hub.wait(self._watcher)

    def _check(self, transfer: Any) -> None:
        taken, now = self._offset - _unsent(self._sink), time.monotonic()
        if taken > self._taken:
            self._taken, self._since = taken, now
        elif now - self._since >= (self._patience or 0.0):
            self._timer.stop()
            transfer.throw(TimeoutError("the client does not read"))


def _unsent(sink: int) -> int:
    """Bytes in the kernel's buffer that the client has not acknowledged; 0 if unknown."""
    with suppress(OSError):
        return int(struct.unpack("i", fcntl.ioctl(sink, termios.TIOCOUTQ, bytes(4)))[0])
    return 0


_NOWAIT = getattr(os, "RWF_NOWAIT", None)  # Linux only
_probe = bytearray(1)
_pool: ThreadPool | None = None


def _needs_disk(source: int, offset: int) -> bool:
    """Whether the byte is not in memory. sendfile would then block all requests of the process on the disk."""
    if _NOWAIT is None:
        return False
    try:
        os.preadv(source, [_probe], offset, _NOWAIT)
    except BlockingIOError:
        return True
    except OSError:  # a file system without support for it
        return False
    return False


def _load(source: int, offset: int) -> None:
    """Load the next megabytes into memory. Runs in a thread that may wait for the disk."""
    with suppress(OSError):
        os.posix_fadvise(source, offset, _READ_AHEAD, os.POSIX_FADV_WILLNEED)
        os.pread(source, 1, offset + SLICE - 1)


def _readers() -> ThreadPool:
    """Separate threads: sign-ins must not wait for videos on a slow disk."""
    global _pool  # noqa: PLW0603 - one pool a process, made after the fork
    if _pool is None:
        _pool = ThreadPool(_READERS)
    return _pool
