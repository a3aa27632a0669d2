"""gunicorn's gevent worker, made fair: it yields between requests and bounds every wait for a client."""

from __future__ import annotations

import gc
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import gevent
from gevent.socket import wait_read
from gunicorn.http import errors
from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.errors import (
    InvalidChunkSize,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    NoMoreData,
    ParseException,
)
from gunicorn.workers.ggevent import GeventWorker
from werkzeug.exceptions import BadRequest, RequestTimeout

from church.server.sendfile import CutShortError, FileSocket

WRITE_TIMEOUT = 60.0  # seconds that a client may leave one write waiting
_MAX_CHUNK = 1 << 32
_REFUSALS = (
    (errors.LimitRequestLine, 414),
    (errors.LimitRequestHeaders, 431),
    (errors.ExpectationFailed, 417),
    (errors.UnsupportedTransferCoding, 501),
    (InvalidResponseHeader, None),  # a bug of the site
    (InvalidResponseHeaderName, None),
    (errors.ConfigurationProblem, None),
    (ParseException, 400),
)  # errors of gunicorn's parser, and the status that it answers with
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 256 * 1024


class _StrictChunks(ChunkedReader):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's reader of chunked bodies, stricter: it refuses at once what can't become a valid chunk."""

    def read_into(self, unreader: Any, buf: bytearray) -> None:
        """Read more. ``buf`` has no complete line yet, so a line feed in it lacks its carriage return."""
        if buf.count(b"\n") != buf.count(b"\r\n"):
            raise InvalidChunkSize(b"bare line feed")
        super().read_into(unreader, buf)

    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> Any:
        """Parse the size of the next chunk. Raises InvalidChunkSize above 4 GiB."""
        size, rest = super().parse_chunk_size(unreader, data)
        if size > _MAX_CHUNK:
            raise InvalidChunkSize(b"beyond 4 GiB")
        return size, rest


class _TimedReader:
    """A request body with a deadline. Its errors are answered as the client's (400, 408), not as the site's."""

    def __init__(self, inner: Any, seconds: float) -> None:
        self.inner = inner
        self._seconds = seconds
        self._deadline: float | None = None
        self.finished = False

    def read(self, size: int) -> bytes:
        """Read at most ``size`` bytes. Raises RequestTimeout after the deadline, BadRequest for a malformed body."""
        now = time.monotonic()
        if self._deadline is None:  # the time starts with the first read: a client may wait for 100 Continue
            self._deadline = now + self._seconds
        try:
            with gevent.Timeout(max(self._deadline - now, 0.001), RequestTimeout()):
                data: bytes = self.inner.read(size)
        except TimeoutError:
            raise RequestTimeout from None
        except (NoMoreData, ParseException):
            raise BadRequest from None
        self.finished = len(data) < size or (isinstance(self.inner, LengthReader) and not self.inner.length)
        return data


class FairWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves the site: starts telemetry before it imports the app, and yields between requests.

    The stock worker runs pipelined keep-alive requests back to back: with 16 connections the last one waits for all
    others (p99 145 ms, against 9 ms with a yield).
    """

    _start_stopping: Callable[[], None] = staticmethod(lambda: None)  # until the site is loaded

    def load_wsgi(self) -> None:
        """Import the site again, even modules that the master had loaded, and start telemetry before the app exists."""
        for name in [n for n in sys.modules if n.partition(".")[0] == "church" and n != __name__]:
            del sys.modules[name]
        from church import config, live, telemetry  # noqa: PLC0415 - see above
        from church.web import headers, maintenance  # noqa: PLC0415 - see above

        settings = config.load_settings()
        self._body_seconds = settings.body_timeout
        telemetry.start_process(settings, "web")
        self._end = telemetry.end_process
        self._end_live = live.close_all
        self._start_stopping = maintenance.start_stopping
        self._refuse = telemetry.track_refused
        self._each_second = telemetry.report_withheld
        self._headers = headers.default_headers(settings)
        super().load_wsgi()
        telemetry.expect_failures(self.wsgi)
        gc.collect()
        gc.freeze()  # loaded modules stay: collecting them again would stop all requests for 50 ms

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop, on SIGTERM: open connections are served for a while, and learn from ``/ready`` that it is the end."""
        super().handle_exit(sig, frame)
        self._start_stopping()

    def run(self) -> None:
        """Serve until the worker is stopped, then write what is still queued."""
        try:
            super().run()
        finally:
            self._end_live()
            self._end()

    def notify(self) -> None:
        """Tell the master, every second, that this worker is alive. When it stops, close chat connections first."""
        super().notify()
        self._each_second()
        if not self.alive:
            self._end_live()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection. A plain one sends files by sendfile; one with TLS in this process can't."""
        super().handle(listener, client if self.cfg.is_ssl else FileSocket.over(client), addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> bool:
        """Answer one request, then let other connections run. Raises StopIteration to end the connection."""
        body = self._timed_body(req)
        sock.settimeout(max(WRITE_TIMEOUT, self._body_seconds))
        try:
            answered: bool = super().handle_request(listener_name, req, sock, addr)
        except (TimeoutError, CutShortError) as error:
            self.log.debug("answer ended early: %s", type(error).__name__)
            raise StopIteration from None
        if body is not None and not body.finished:
            _linger(sock)
            raise StopIteration
        self._wait_in_line(req, sock)
        return answered

    def _wait_in_line(self, req: Any, sock: Any) -> None:
        """Let other connections go first, even if the next request is here already.

        Waiting for the socket puts all connections into one queue, which the hub serves in order; a plain yield would
        bring this connection back before those that wait for their sockets. Raises StopIteration if nothing comes.
        """
        if req.unreader.buf.getbuffer().nbytes:  # pipelined: already read, so the socket may stay silent
            gevent.sleep(0)
            return
        try:
            wait_read(sock.fileno(), self.cfg.keepalive)
        except TimeoutError:
            raise StopIteration from None

    def _timed_body(self, req: Any) -> _TimedReader | None:
        reader = req.body.reader
        if isinstance(reader, LengthReader) and not reader.length:
            return None
        if isinstance(reader, ChunkedReader):
            reader = _StrictChunks(req, req.unreader)
        req.body.reader = timed = _TimedReader(reader, self._body_seconds)
        return timed

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a malformed request with a fixed text, the site's headers and a request ID, and count it."""
        status = next((code for kind, code in _REFUSALS if isinstance(exc, kind)), None)
        if status is None:
            # without the request: gunicorn logs its path, which may be a secret link
            super().handle_error(None, client, addr, exc)
            return
        request_id = self._refuse(status, type(exc).__name__, addr[0] if addr else "")
        phrase = HTTPStatus(status).phrase
        body = f"<!doctype html><html lang=en><title>{phrase}</title><h1>{phrase}</h1><p>{request_id}</p></html>"
        headers = {**self._headers, "Content-Type": "text/html; charset=utf-8", "X-Request-ID": request_id}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} {phrase}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
        with suppress(OSError):
            client.settimeout(1)
            client.sendall((head + body).encode())


def _linger(sock: Any) -> None:
    """Read a bounded part of an unread body, so that the client gets the answer and not a reset."""
    with suppress(OSError), gevent.Timeout(_LINGER_SECONDS, False):  # type: ignore[arg-type]  # False: raises nothing
        sock.shutdown(socket.SHUT_WR)
        left = _LINGER_BYTES
        while left > 0 and (data := sock.recv(min(left, 65_536))):
            left -= len(data)
