"""gunicorn's gevent worker, made fair: it yields between requests, and waits for nobody without end."""

from __future__ import annotations

import gc
import socket
import sys
import time
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
    (InvalidResponseHeader, None),  # the site's own fault
    (InvalidResponseHeaderName, None),
    (errors.ConfigurationProblem, None),
    (ParseException, 400),
)  # what gunicorn's parser raises, and the status it answers it with
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 256 * 1024


class _StrictChunks(ChunkedReader):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's chunks, refused at once where it would go on waiting for a line end or a size that can't come."""

    def read_into(self, unreader: Any, buf: bytearray) -> None:
        """Read on; what is there has no whole line yet, so a line feed in it stands alone."""
        if buf.count(b"\n") != buf.count(b"\r\n"):
            raise InvalidChunkSize(b"bare line feed")
        super().read_into(unreader, buf)

    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> Any:
        """The size of the next chunk and what follows. Raises InvalidChunkSize for one beyond 4 GiB."""
        size, rest = super().parse_chunk_size(unreader, data)
        if size > _MAX_CHUNK:
            raise InvalidChunkSize(b"beyond 4 GiB")
        return size, rest


class _TimedReader:
    """A request body that must be there by a deadline, and whose faults are the client's (400, 408), not ours."""

    def __init__(self, inner: Any, seconds: float) -> None:
        self.inner = inner
        self._seconds = seconds
        self._deadline: float | None = None
        self.finished = False

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes. Raises RequestTimeout after the deadline, BadRequest for a malformed body."""
        now = time.monotonic()
        if self._deadline is None:  # the clock starts with the first read: a client may wait for 100 Continue
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
    """Serves the site: takes its slot before it imports the app, and gives the others their turn.

    The stock worker runs pipelined keep-alive requests back to back: with 16 connections the last waits for all
    (p99 145 ms against 9 ms with a yield).
    """

    def load_wsgi(self) -> None:
        """Import the site anew, whatever the master had loaded of it, and count in a slot before the app exists."""
        for name in [n for n in sys.modules if n.partition(".")[0] == "church" and n != __name__]:
            del sys.modules[name]
        from church import config, live, telemetry  # noqa: PLC0415 - see above
        from church.web import headers  # noqa: PLC0415 - see above

        settings = config.load_settings()
        self._body_seconds = settings.body_timeout
        telemetry.start_process(settings, "web")
        self._end = telemetry.end_process
        self._end_live = live.close_all
        self._refuse = telemetry.track_refused
        self._headers = headers.of_every_answer(settings)
        super().load_wsgi()
        telemetry.expect_failures(self.wsgi)
        gc.collect()
        gc.freeze()  # what is loaded now stays: looking through it again would stop all requests for 50 ms

    def run(self) -> None:
        """Serve until told to stop; then write what is still queued."""
        try:
            super().run()
        finally:
            self._end_live()
            self._end()

    def notify(self) -> None:
        """Tell the master that this worker lives; live connections hear first that it is about to end."""
        super().notify()
        if not self.alive:
            self._end_live()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection, which sends files without reading them; one that is encrypted here has to read."""
        super().handle(listener, client if self.cfg.is_ssl else FileSocket.over(client), addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> bool:
        """Answer one request, then let the others run. Raises StopIteration where the connection has to end."""
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
        """Let the others go first, though the next request may be here already.

        Waiting for the socket puts all connections into one line, which the hub serves once a turn; a plain yield
        would bring this one back before those that wait for theirs. Raises StopIteration when nothing comes.
        """
        if req.unreader.buf.getbuffer().nbytes:  # pipelined: it is not the socket that has it
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
        """Answer a request that is no request: the site's headers and id, a fixed text, counted like any other."""
        status = next((code for kind, code in _REFUSALS if isinstance(exc, kind)), None)
        if status is None:
            super().handle_error(req, client, addr, exc)
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
    """Read a little of what nobody wanted, so that the answer is not lost to a reset, and no more than that."""
    with suppress(OSError), gevent.Timeout(_LINGER_SECONDS, False):  # type: ignore[arg-type]  # False: ends quietly
        sock.shutdown(socket.SHUT_WR)
        left = _LINGER_BYTES
        while left > 0 and (data := sock.recv(min(left, 65_536))):
            left -= len(data)
