"""What one client sends, received in turns, until a deadline.

gevent's own ``recv`` returns without a switch while bytes are there: a client that always has more would keep the
worker to itself, and no timeout would fire. Here each receive waits in the hub's queue behind the other connections.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from contextlib import suppress
from typing import Any

import gevent
from gevent.socket import wait_read
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine

from church.server.open_connections import Place

MAX_HEAD = 32 * 1024
"""Bytes of a request line and its header fields together."""
PIECE = 4096
"""Bytes of one receive where small parts follow each other: a millisecond to parse at most."""
LARGEST_PIECE = 256 * 1024
"""Bytes of one receive inside a body or a large chunk, which needs no parsing."""

_END_OF_HEAD = re.compile(rb"\r\n\r\n|(?<!\r)\n")  # a bare line feed ends it too: the parser refuses it
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 256 * 1024
_TCP_INFO_BYTES, _LAST_RECEIVED = 56, 52  # of Linux's struct tcp_info, and its tcpi_last_data_recv in milliseconds
_CLOCK_TICK = 0.02  # seconds; that field is as coarse as the kernel's ticks, up to 10 ms


class ClientStream:
    """The bytes of one connection, in the form in which gunicorn's parser takes them (its ``Unreader``)."""

    def __init__(self, sock: Any, place: Place, peer: str = "") -> None:
        self.sock = sock
        self.place = place
        self.peer = peer
        """The address of the other end: a client's, or that of a proxy."""
        self.request: Any = None
        """The request that is being answered, with its header fields."""
        self.held = bytearray()
        """What has arrived and nobody has taken."""
        self.started = 0.0
        """``perf_counter`` time at which the first byte of the current request came."""
        self._encrypted = hasattr(sock, "pending")

    def receive(self, size: int, deadline: float) -> bool:
        """Wait in line, then hold at most ``size`` more bytes. False at the end, or once the place is another's.

        ``deadline`` is a ``monotonic`` time. Raises TimeoutError after it, even if bytes are there.
        """
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        with gevent.Timeout(left, TimeoutError()):
            if self._encrypted:  # decrypted bytes may be there although the socket is silent
                gevent.sleep(0)
            else:
                wait_read(self.sock.fileno())
            data: bytes = b"" if self.place.is_closed else self.sock.recv(size)
        self.held += data
        return bool(data)

    def receive_rest(self, size: int, deadline: float) -> bool:
        """Receive more of a request that has begun, then wait for a turn if the client's network has many connections.

        They may all be ready at once, since one client decides when they go on, and when they end.
        """
        self.place.wait_slow()
        try:
            return self.receive(size, deadline)
        finally:
            if pause := self.place.seconds_until_turn():
                gevent.sleep(pause)

    def await_head(self, longest_line: int, seconds: float) -> bool:
        """Wait up to ``seconds`` for a request, and as long for the rest of its head. False if the client ends.

        The parser then finds the whole head at once: it would look through all of it again after each piece. Raises
        TimeoutError, LimitRequestLine and LimitRequestHeaders.
        """
        if not self._await_first_byte(seconds):
            return False
        deadline = time.monotonic() + seconds
        searched = 0
        while not (end := _END_OF_HEAD.search(self.held, max(searched - 3, 0))):
            self._check_head(len(self.held), longest_line)
            searched = len(self.held)
            if not self.receive_rest(PIECE, deadline):
                return False
        self._check_head(end.end(), longest_line)
        self.place.work()
        return True

    def _await_first_byte(self, seconds: float) -> bool:
        """Let other connections go first, even if the next request is here already."""
        if self.held:  # pipelined: already read, so the socket may stay silent
            gevent.sleep(0)
            self.started = time.perf_counter()
            return True
        self.place.wait_idle()
        if not self.receive(PIECE, time.monotonic() + seconds):
            return False
        self.started = time.perf_counter() - _seconds_in_kernel(self.sock)
        return True

    def _check_head(self, size: int, longest_line: int) -> None:
        if size > longest_line and self.held.find(b"\r\n", 0, longest_line + 2) < 0:
            raise LimitRequestLine(size, longest_line)
        if size > MAX_HEAD:
            raise LimitRequestHeaders("head too large")

    def linger(self) -> None:
        """Read a bounded part of what the client still sends, so that it gets the answer and not a reset."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
            deadline, left = time.monotonic() + _LINGER_SECONDS, _LINGER_BYTES
            self.held.clear()
            while left > 0 and self.receive_rest(min(left, LARGEST_PIECE), deadline):
                left -= len(self.held)
                self.held.clear()

    # -- what gunicorn's parser and the WebSocket handshake call -------------------------------------------------------

    def read(self) -> bytes:
        """Take all that is held, without waiting for more."""
        data = bytes(self.held)
        self.held.clear()
        return data

    take_buffered = read

    def unread(self, data: bytes) -> None:
        """Hold ``data`` again, before everything else."""
        self.held[:0] = data


def _seconds_in_kernel(sock: Any) -> float:
    """How long ago the latest bytes came: the time for which they waited until this process could read them."""
    with suppress(AttributeError, OSError, struct.error):  # not Linux, or no TCP
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        seconds = struct.unpack_from("=I", info, _LAST_RECEIVED)[0] / 1000
        return seconds if seconds >= _CLOCK_TICK else 0.0
    return 0.0
