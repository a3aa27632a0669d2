"""A connection to Stripe on which nothing takes longer than its call may, whatever the server or the network does.

A time-out of a socket bounds each wait alone: of an answer that arrives a byte at a time every byte has all of it.
Here each wait gets what is left of the call, the handshake of TLS included, in gevent's workers as elsewhere.
"""

from __future__ import annotations

import io
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from church.lib.dns import names

T = TypeVar("T")

CONNECT = 1.5  # seconds for one address: a host that is gone says nothing

_deadline: ContextVar[float] = ContextVar("church_stripe_deadline")


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Let whatever is done with a connection inside raise TimeoutError in ``seconds``."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining() -> float:
    """Seconds left of the call. Raises TimeoutError when there are none."""
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise TimeoutError("the call's time is used up")
    return left


class BoundedSocket:
    """A connected socket that never waits by itself, and the waits for it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock

    def sendall(self, data: bytes) -> None:
        """Send all of ``data``. Raises TimeoutError, OSError."""
        view = memoryview(data)
        while view:
            view = view[self.ready(select.POLLOUT, self._sock.send, view) :]

    def receive(self, buffer: Any) -> int:
        """Read what is there into ``buffer``; 0 at the end. Raises TimeoutError, OSError."""
        return self.ready(select.POLLIN, self._sock.recv_into, buffer)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What ``http.client.HTTPResponse`` reads from; closing it leaves the connection as it is."""
        return io.BufferedReader(_Reader(self))

    def is_quiet(self) -> bool:
        """Whether the connection may be used again: open, and with nothing in it that nobody asked for."""
        try:
            self._sock.recv_into(bytearray(1))
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        """Close it."""
        self._sock.close()

    def ready(self, event: int, operation: Callable[..., T], *args: Any) -> T:
        """``operation(*args)``, tried again whenever the socket is ready for it."""
        while True:
            left = remaining()
            try:
                return operation(*args)
            except BlockingIOError:
                wanted = event
            except ssl.SSLWantReadError:
                wanted = select.POLLIN
            except ssl.SSLWantWriteError:
                wanted = select.POLLOUT
            poll = select.poll()
            poll.register(self._sock.fileno(), wanted)
            poll.poll(left * 1000)


class _Reader(io.RawIOBase):
    def __init__(self, sock: BoundedSocket) -> None:
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._sock.receive(buffer)


def dial(host: str, port: int, tls: ssl.SSLContext | None) -> BoundedSocket:
    """Connect to the first address of ``host`` that answers. Raises TimeoutError, OSError."""
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, _, _, address in names.addresses(host, port, remaining()):
        sock = socket.socket(family, kind)
        try:
            sock.settimeout(min(CONNECT, remaining()))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _secured(sock, host, tls) if tls is not None else BoundedSocket(sock)
        except OSError as error:
            sock.close()
            failure = error
    raise failure


def _secured(sock: socket.socket, host: str, tls: ssl.SSLContext) -> BoundedSocket:
    wrapped = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    bounded = BoundedSocket(wrapped)
    try:
        bounded.ready(select.POLLIN, wrapped.do_handshake)
    except BaseException:
        bounded.close()
        raise
    return bounded
