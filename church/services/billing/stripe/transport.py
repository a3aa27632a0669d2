"""HTTP to Stripe over connections that are kept, with one deadline for the whole of a request."""

from __future__ import annotations

import ssl
import weakref
from collections import deque
from collections.abc import Mapping
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from church.services.billing.stripe.socket import BoundedSocket, dial

Answer = tuple[bytes, int, HTTPMessage]

_KEPT = 20  # connections that a worker keeps open
_LARGEST = 16 * 1024 * 1024  # bytes of an answer; a page of a hundred subscriptions has about 1 MB


class Transport:
    """Sends requests, within ``billing_socket.deadline``; ``authorities`` is the file of those whom TLS trusts."""

    def __init__(self, authorities: str) -> None:
        self._authorities = authorities
        self._tls: ssl.SSLContext | None = None
        self._idle: dict[tuple[str, str], deque[BoundedSocket]] = {}
        weakref.finalize(self, _close, self._idle)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer's body, status and headers. Raises TimeoutError, OSError, HTTPException."""
        scheme, host, path, query, _ = urlsplit(url)
        idle = self._idle.setdefault((scheme, host), deque(maxlen=_KEPT))
        target = f"{path}?{query}".replace("[", "%5B").replace("]", "%5D") if query else path
        request = _head(method, target, {"Host": host, **headers}, body) + body
        sock = _kept(idle) or self._dialled(scheme, host)
        try:
            sock.sendall(request)
            answer, reusable = _answer(sock, method)
        except BaseException:
            sock.close()
            raise
        if reusable and len(idle) < _KEPT:
            idle.append(sock)
        else:
            sock.close()
        return answer

    def _dialled(self, scheme: str, authority: str) -> BoundedSocket:
        where = urlsplit(f"//{authority}")
        if scheme != "https":
            return dial(where.hostname or "", where.port or 80, None)
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=self._authorities)
        return dial(where.hostname or "", where.port or 443, self._tls)


def _close(idle: dict[tuple[str, str], deque[BoundedSocket]]) -> None:
    for kept in idle.values():
        while kept:
            kept.pop().close()


def _kept(idle: deque[BoundedSocket]) -> BoundedSocket | None:
    """The connection used last of those that the server has not closed."""
    while idle:
        try:
            sock = idle.pop()
        except IndexError:
            return None  # another thread was faster
        if sock.is_quiet():
            return sock
        sock.close()
    return None


def _head(method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    length = {"Content-Length": str(len(body))} if body or method.lower() == "post" else {}
    lines = [f"{method.upper()} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in {**headers, **length}.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in a header")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _answer(sock: Any, method: str) -> tuple[Answer, bool]:
    """The answer, and whether its connection may be used again."""
    response = HTTPResponse(sock, method=method.upper())
    try:
        response.begin()
        body = response.read(_LARGEST)
        if not response.isclosed() and (response.length is not None or len(body) == _LARGEST):
            raise HTTPException("an answer that is cut off, or too large")
        return (body, response.status, response.headers), response.isclosed() and not response.will_close
    finally:
        response.close()
