"""/ws: the handshake of RFC 6455, after which the socket is the hub's and this request is over.

What is refused is refused before that, as an answer of HTTP: a foreign page, too many connections, no handshake.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import Any

from flask import Flask, Response, g, request

from church import live, telemetry
from church.blueprints.live.blueprint import bp
from church.config import current_settings
from church.errors import ForbiddenError, InvalidError, UnavailableError
from church.extensions import sock
from church.web import rate_limits
from church.web.error_pages import error_response
from church.web.identity import known_viewer, viewer
from church.web.rate_limits import limited
from church.web.route_access import EVERYONE, allow

_VERSION = "13"
_EXTENSIONS = "HTTP_SEC_WEBSOCKET_EXTENSIONS"


class _NoThread:
    """simple-websocket would read in a thread of its own: the hub does, for all."""

    name = ""

    def __init__(self, **_: Any) -> None:
        """Whatever it should run."""

    def start(self) -> None:
        """It need not."""


class _NoEvent:
    """Nobody waits for what is read."""


@bp.record_once
def _configure(state: Any) -> None:
    app: Flask = state.app
    app.config["SOCK_SERVER_OPTIONS"] = {"thread_class": _NoThread, "event_class": _NoEvent}


@bp.before_request
def _gate() -> Response | None:
    return _refusal() if request.endpoint == f"{bp.name}.{ws.__name__}" else None


@limited("live")
def _refusal() -> Response | None:
    """Let nobody through to the handshake who would not get a connection. Raises ChurchErrors."""
    if not _is_handshake():
        telemetry.track_live_opened("refused_handshake")
        raise InvalidError("This address is for WebSockets, version 13.")
    if not _is_from_here():
        telemetry.track_live_opened("refused_origin")
        telemetry.track_security_event("csrf_refused", "medium", reason="origin")
        raise ForbiddenError("Connect from this site.")
    outcome = live.hub_of().reserve(rate_limits.client())
    if outcome is None:
        g.live_expected = True
        known_viewer()  # whom the cookie shows; where nobody can tell now, the client tries again
        request.environ.pop(_EXTENSIONS, None)  # none is spoken
        return None
    telemetry.track_live_opened(outcome)
    if outcome == "refused_full":
        raise UnavailableError("Too many connections. Try again later.")
    return error_response(429, retry_after=10)


@bp.teardown_request
def _give_up(_error: BaseException | None) -> None:
    """Keep no place for a handshake that came to nothing."""
    if g.pop("live_expected", False):
        live.hub_of().release(rate_limits.client())


@bp.errorhandler(ConnectionError)
def _on_gone(error: ConnectionError) -> Response:
    """Nobody is there any more to shake hands with: the client's affair, as a request is that it never finished."""
    if request.endpoint != f"{bp.name}.{ws.__name__}":
        raise error
    return error_response(400)


def _is_handshake() -> bool:
    """Section 4.2.1, so far as werkzeug has not looked at it; a body would be taken for frames."""
    key = request.headers.get("Sec-WebSocket-Key", "")
    try:
        is_key = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        is_key = False
    has_body = bool(request.content_length) or "HTTP_TRANSFER_ENCODING" in request.environ
    is_plain = request.environ.get("SERVER_PROTOCOL") == "HTTP/1.1" and _socket() is not None
    version = request.headers.get("Sec-WebSocket-Version")
    return request.method == "GET" and is_key and version == _VERSION and is_plain and not has_body


def _socket() -> Any:
    """The client's socket, if this is gunicorn's and is not encrypted here."""
    found = request.environ.get("gunicorn.socket")
    return None if hasattr(found, "cipher") else found


def _is_from_here() -> bool:
    """Whether the page that asks is this site's (ASVS 5.0.0, 4.4.2); a program has to name it, too."""
    said = request.headers.get("Origin", "").lower()
    return said in {current_settings().origin.lower(), f"{request.scheme}://{request.host}".lower()}


@allow(EVERYONE)
def ws(server: Any) -> None:
    """Shake hands, and hand the socket over: who it is, the first frame says."""
    fd = os.dup(server.sock.fileno())
    server.connected = False  # else flask-sock would say goodbye
    found = viewer()
    cookie = (found.session_ref, found.ref) if found is not None and found.token else None
    telemetry.quiet_route()
    live.hub_of().adopt(fd, rate_limits.client(), _early(), telemetry.handshake(), cookie)
    g.pop("live_expected")


def _early() -> bytes:
    """What a client that would not wait for our answer has sent already; gunicorn read it with the head."""
    unreader = getattr(getattr(request.environ["wsgi.input"], "reader", None), "unreader", None)
    early: bytes = unreader.take_buffered() if unreader is not None else b""
    return early


sock.route("/ws", bp=bp)(ws)  # not by @: flask-sock's gives back nothing
