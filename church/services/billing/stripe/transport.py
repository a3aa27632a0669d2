"""HTTP to Stripe over kept-alive connections, with one deadline for a whole call.

The timeouts of requests, urllib3 and urllib bound each wait alone, so an answer that arrives a byte at a time keeps a
caller for as long as it likes. ``gevent.Timeout`` ends such a call only where gevent has patched the sockets, and not
in ``flask`` commands, the worker process and the tests, which use real threads.
"""

from __future__ import annotations

import io
import select
import socket
import ssl
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import Any, TypeVar
from urllib.parse import urlsplit

from church.lib.dns import host_resolver

T = TypeVar("T")
Answer = tuple[bytes, int, HTTPMessage]

CONNECT = 1.5  # seconds for one address
_MOST_IDLE = 20  # connections that a process keeps open
_LARGEST = 16 * 1024 * 1024  # bytes of an answer; a page of a hundred subscriptions has about 1 MB

_deadline: ContextVar[float] = ContextVar("church_stripe_deadline")


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Give everything inside ``seconds`` in all; waits on a connection raise TimeoutError after that."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining() -> float:
    """Return the seconds left of the call. Raises TimeoutError when there are none."""
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise TimeoutError("the call's time is used up")
    return left


class Transport:
    """Sends requests within ``deadline``, and keeps connections open; ``ca_file`` lists the trusted authorities."""

    def __init__(self, ca_file: str) -> None:
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None
        self._idle: dict[tuple[str, str], deque[BoundedSocket]] = {}
        weakref.finalize(self, _close, self._idle)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one request. Returns body, status and headers; raises TimeoutError, OSError, HTTPException."""
        scheme, host, path, query, _ = urlsplit(url)
        idle = self._idle.setdefault((scheme, host), deque(maxlen=_MOST_IDLE))
        target = f"{path}?{query}".replace("[", "%5B").replace("]", "%5D") if query else path
        request = _head(method, target, {"Host": host, **headers}, body) + body
        sock = _reuse(idle) or self._connect(scheme, host)
        try:
            sock.sendall(request)
            answer, reusable = _read_answer(sock, method)
        except BaseException:
            sock.close()
            raise
        if reusable and len(idle) < _MOST_IDLE:
            idle.append(sock)
        else:
            sock.close()
        return answer

    def _connect(self, scheme: str, authority: str) -> BoundedSocket:
        where = urlsplit(f"//{authority}")
        if scheme != "https":
            return _dial(where.hostname or "", where.port or 80, None)
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=self._ca_file)
        return _dial(where.hostname or "", where.port or 443, self._tls)


def _close(idle: dict[tuple[str, str], deque[BoundedSocket]]) -> None:
    for connections in idle.values():
        while connections:
            connections.pop().close()


def _reuse(idle: deque[BoundedSocket]) -> BoundedSocket | None:
    """Take the most recently used connection that the server has not closed."""
    while idle:
        try:
            sock = idle.pop()
        except IndexError:
            return None  # another thread was faster
        if sock.is_reusable():
            return sock
        sock.close()
    return None


def _head(method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    length = {"Content-Length": str(len(body))} if body or method.lower() == "post" else {}
    lines = [f"{method.upper()} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in {**headers, **length}.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in a header")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _read_answer(sock: Any, method: str) -> tuple[Answer, bool]:
    """Read the answer; also return whether the connection may be used again."""
    response = HTTPResponse(sock, method=method.upper())
    try:
        response.begin()
        body = response.read(_LARGEST)
        if not response.isclosed() and (response.length is not None or len(body) == _LARGEST):
            raise HTTPException("the answer is cut off or too large")
        return (body, response.status, response.headers), response.isclosed() and not response.will_close
    finally:
        response.close()


# -- sockets ----------------------------------------------------------------------------------------------------------


class BoundedSocket:
    """A non-blocking socket; each wait gets what is left of the call, with gevent and without."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock

    def sendall(self, data: bytes) -> None:
        """Send all of ``data``. Raises TimeoutError, OSError."""
        view = memoryview(data)
        while view:
            view = view[self.ready(select.POLLOUT, self._sock.send, view) :]

    def receive(self, buffer: Any) -> int:
        """Read available bytes into ``buffer``; 0 at the end. Raises TimeoutError, OSError."""
        return self.ready(select.POLLIN, self._sock.recv_into, buffer)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return the file that ``http.client.HTTPResponse`` reads; closing it leaves the connection open."""
        return io.BufferedReader(_Reader(self))

    def is_reusable(self) -> bool:
        """Whether the connection is open and holds no unread bytes."""
        try:
            self._sock.recv_into(bytearray(1))
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def ready(self, event: int, operation: Callable[..., T], *args: Any) -> T:
        """Call ``operation(*args)``, again each time the socket becomes ready, until it succeeds."""
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


def _dial(host: str, port: int, tls: ssl.SSLContext | None) -> BoundedSocket:
    """Connect to the first address of ``host`` that answers. Raises TimeoutError, OSError."""
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, _, _, address in host_resolver.addresses(host, port, remaining()):
        sock = socket.socket(family, kind)
        try:
            sock.settimeout(min(CONNECT, remaining()))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _start_tls(sock, host, tls) if tls is not None else BoundedSocket(sock)
        except OSError as error:
            sock.close()
            failure = error
    raise failure


def _start_tls(sock: socket.socket, host: str, tls: ssl.SSLContext) -> BoundedSocket:
    wrapped = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    bounded = BoundedSocket(wrapped)
    try:
        bounded.ready(select.POLLIN, wrapped.do_handshake)
    except BaseException:
        bounded.close()
        raise
    return bounded
