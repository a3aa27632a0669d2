"""A connection that sends files by ``os.sendfile``: the kernel moves the pages, and other requests have their turn.

gevent's own socket reads a file in pieces of 8 KiB and sends each; this one never holds a byte of it.
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

SLICE = 512 * 1024
"""Bytes of one call: what another request has to wait for at most, some tenths of a millisecond."""
_READ_AHEAD = 4 * 1024 * 1024
_READERS = 4  # threads that wait for disks
_LOOKS = 4  # within a patience, whether the client has taken anything
_WRITABLE = 2  # libev's EV_WRITE


class CutShortError(OSError):
    """The file has fewer bytes than were announced: only the end of the connection can say so."""


class FileSocket(socket):
    """A client's connection. Before each slice it waits to be writable, in one line with everybody else's."""

    __slots__ = ()

    @classmethod
    def over(cls, plain: Any) -> FileSocket:
        """The same connection; ``plain`` is left without it."""
        return cls(plain.family, plain.type, plain.proto, fileno=plain.detach())

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send ``count`` bytes from ``offset`` on, as ``socket.sendfile`` does; how many were sent: all of them.

        Raises CutShortError where the file ends before that, TimeoutError where the client has taken nothing for as
        long as ``file.patience`` says (else the socket's timeout), and OSError where it is gone.
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
    """What the connection takes of one slice at this moment. Raises CutShortError at the end of the file."""
    if _is_cold(source, offset + size - 1):
        _readers().apply(_read_in, (source, offset))
    try:
        sent = os.sendfile(sink, source, offset, size)
    except BlockingIOError:
        return 0
    if not sent:
        raise CutShortError
    return sent


class _Turns:
    """The turns of one transfer: it waits for its socket, and is ended when the client takes nothing for too long.

    One timer looks now and then whether anything was taken; one for each slice would cost as much as sending it. What
    the client has acknowledged counts, so that a slow one is not taken for a dead one while its buffer empties.
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
        """Let the others run until the client takes more. Raises TimeoutError when it does not."""
        self._offset = offset
        hub = get_hub()
        if self._watcher is None:
            self._watcher = hub.loop.io(self._sink, _WRITABLE)
            if self._patience is not None:
                self._since = time.monotonic()
                self._timer = hub.loop.timer(self._patience / _LOOKS, self._patience / _LOOKS)
                self._timer.start(self._look, gevent.getcurrent())
        hub.wait(self._watcher)

    def _look(self, transfer: Any) -> None:
        taken, now = self._offset - _unsent(self._sink), time.monotonic()
        if taken > self._taken:
            self._taken, self._since = taken, now
        elif now - self._since >= (self._patience or 0.0):
            self._timer.stop()
            transfer.throw(TimeoutError("the client takes nothing"))


def _unsent(sink: int) -> int:
    """Bytes in the kernel that the client has not acknowledged; 0 where that can't be told."""
    with suppress(OSError):
        return int(struct.unpack("i", fcntl.ioctl(sink, termios.TIOCOUTQ, bytes(4)))[0])
    return 0


_NOWAIT = getattr(os, "RWF_NOWAIT", None)  # Linux alone can tell
_probe = bytearray(1)
_pool: ThreadPool | None = None


def _is_cold(source: int, offset: int) -> bool:
    """Whether the byte has to come from the disk, for which sendfile would stop every request of the process."""
    if _NOWAIT is None:
        return False
    try:
        os.preadv(source, [_probe], offset, _NOWAIT)
    except BlockingIOError:
        return True
    except OSError:  # a file system that can't say
        return False
    return False


def _read_in(source: int, offset: int) -> None:
    """Have the next megabytes in memory; in a thread that may wait for the disk."""
    with suppress(OSError):
        os.posix_fadvise(source, offset, _READ_AHEAD, os.POSIX_FADV_WILLNEED)
        os.pread(source, 1, offset + SLICE - 1)


def _readers() -> ThreadPool:
    """Threads of their own: where disks are slow, logins must not wait for films."""
    global _pool  # noqa: PLW0603 - one pool a process, made after the fork
    if _pool is None:
        _pool = ThreadPool(_READERS)
    return _pool
