"""Call the site on this host: fetch its metrics, report to it."""

from __future__ import annotations

import http.client
import time
from typing import NamedTuple

USER_AGENT = "church-observe"
TIMEOUT = 5.0
_MOST_BYTES = 32 * 1024 * 1024
_CHUNK = 256 * 1024
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}  # noqa: S104 - what the site listens on, and how to reach it


class SiteError(Exception):
    """The site gave no usable answer. The message goes on from "the site"."""


class Target(NamedTuple):
    """Where the site listens, such as 127.0.0.1:8000, and the bearer token that it asks for."""

    bind: str
    token: str | None = None


def get(target: Target, path: str, headers: dict[str, str], timeout: float = TIMEOUT) -> str:
    """The text at ``path``, in at most ``timeout`` seconds. Raises SiteError."""
    return _call(target, "GET", path, headers, None, timeout)


def post(target: Target, path: str, body: bytes, timeout: float = TIMEOUT) -> str:
    """Send JSON to ``path``; returns the text of the answer, in at most ``timeout`` seconds. Raises SiteError."""
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    return _call(target, "POST", path, headers, body, timeout)


def _call(target: Target, method: str, path: str, headers: dict[str, str], body: bytes | None, timeout: float) -> str:
    deadline = time.monotonic() + timeout
    connection = _connect(target, timeout)
    # The site lets its own machine in without a token, by a name that no page elsewhere can take.
    headers = {"Host": "localhost", "User-Agent": USER_AGENT, **headers}
    if target.token is not None:
        headers["Authorization"] = f"Bearer {target.token}"
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = _read(response, connection, deadline)
    except (OSError, http.client.HTTPException) as error:
        raise SiteError(f"gave no answer ({type(error).__name__})") from None
    finally:
        connection.close()
    if response.status != 200:
        raise SiteError(f"answered {response.status}")
    try:
        return answer.decode()
    except UnicodeDecodeError:
        raise SiteError("sent something else than text") from None


def _connect(target: Target, timeout: float) -> http.client.HTTPConnection:
    """A connection; without a token from loopback, which the site lets in, whatever address it listens on.

    With a token the site may be another machine's, such as another container.
    """
    host, _, port = target.bind.rpartition(":")
    address = _ANY_ADDRESS.get(host, host.strip("[]"))
    source = ("::1" if ":" in address else "127.0.0.1", 0) if target.token is None else None
    return http.client.HTTPConnection(address, int(port), timeout=timeout, source_address=source)


def _read(response: http.client.HTTPResponse, connection: http.client.HTTPConnection, deadline: float) -> bytes:
    parts: list[bytes] = []
    length = 0
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if connection.sock is not None:
            connection.sock.settimeout(left)
        part = response.read1(_CHUNK)
        if not part:
            return b"".join(parts)
        parts.append(part)
        length += len(part)
        if length > _MOST_BYTES:
            raise SiteError("sent too much")
