"""Answers whose head and body are sent at once: those of the site that are no streams, and those of the door.

The app hands head and body over as bytes where ``start_response`` is ours (``church.web.site.SiteResponse``). Nothing
is parsed or copied header by header, and the client wakes up once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gunicorn import SERVER
from gunicorn.util import http_date

from church.server.request_body import RequestBody

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_date = (0, b"")


class Start:
    """The ``start_response`` of a request: first it is decided whether the connection goes on after the answer."""

    def __init__(self, body: RequestBody, start_response: Any) -> None:
        self._body = body
        self._start_response = start_response

    def __call__(self, *answer: Any) -> Any:
        """Start an answer of several pieces."""
        self._body.settle()
        return self._start_response(*answer)

    def take_whole(self, status: str, head: bytes, body: bytes, close: Callable[[], None]) -> WholeAnswer:
        """Take a whole answer, to be returned to the server: ``head`` has its lines, ``close`` is called at its end."""
        self._body.settle()
        return WholeAnswer(self._body, status, head, body, close)


class WholeAnswer:
    """An answer that waits to be sent to the client of ``request``."""

    def __init__(self, asked: RequestBody, status: str, head: bytes, body: bytes, close: Callable[[], None]) -> None:
        self.request = asked.request
        self._sock = asked.unreader.sock
        self._status = status
        self._rest = b"%b\r\n%b" % (head, body)
        self._close = close

    def send(self, closes: bool) -> None:
        """Send it; ``closes`` says whether the connection ends with it."""
        protocol = b"HTTP/%d.%d" % self.request.version
        try:
            send_at_once(self._sock, write_begin(protocol, self._status, closes) + self._rest)
        finally:
            self._close()


def send_at_once(sock: Any, data: bytes) -> None:
    """Send ``data``, in one call if the connection takes it."""
    sent = sock.send(data)  # gevent's sendall asks the kernel for the size of its buffer first
    if sent < len(data):
        sock.sendall(memoryview(data)[sent:])


def write_begin(protocol: bytes, status: str, closes: bool) -> bytes:
    """Write the lines that gunicorn begins an answer with."""
    global _date  # noqa: PLW0603 - one text for the process, written once a second
    now = int(time.time())
    if _date[0] != now:
        _date = (now, f"Server: {SERVER}\r\nDate: {http_date(now)}\r\nConnection: ".encode())
    return b"%b %b\r\n%b%b\r\n" % (protocol, status.encode(), _date[1], b"close" if closes else b"keep-alive")


def settle_bodies(app: WSGIApplication) -> WSGIApplication:
    """Make ``app`` decide before each answer whether its connection goes on, and tell it when the request began."""

    def settled(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        body: RequestBody = environ["wsgi.input"].reader
        environ["church.started"] = body.started
        environ.update(body.handed_on)
        return app(environ, Start(body, start_response))

    return settled
