"""GET /ws: the WebSocket handshake (RFC 6455), after which the hub owns the socket and the request is over.

Requests from another origin, over a connection limit, or without a valid handshake get an HTTP error instead.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import Any

from flask import Flask, Response, g, request
from flask_sock import Sock

from church import live, telemetry
from church.blueprints.live.blueprint import bp
from church.errors import ForbiddenError, InvalidError, UnavailableError
from church.web.error_pages import error_response
from church.web.identity import viewer, viewer_or_unavailable
from church.web.origins import is_own_origin
from church.web.rate_limits import limited
from church.web.route_access import EVERYONE, allow

_VERSION = "13"
_EXTENSIONS = "HTTP_SEC_WEBSOCKET_EXTENSIONS"
_ENDPOINT = f"{bp.name}.ws"


class _NoReader:
    """Replaces the thread in which flask-sock's library would read the socket; this one never runs.

    The hub reads all sockets itself, and a second reader would take the client's frames. ``thread_class`` is the
    library's own option for this, and it has none to do the handshake alone.
    """

    name = ""

    def __init__(self, **_: Any) -> None:
        """Take what the library passes to a thread, and keep none of it."""

    def start(self) -> None:
        """Do nothing."""


@bp.record_once
def _configure(state: Any) -> None:
    app: Flask = state.app
    app.config["SOCK_SERVER_OPTIONS"] = {"thread_class": _NoReader}


@allow(EVERYONE)
@limited("live")
def connect(server: Any) -> None:
    """Pass the socket to the hub after the handshake; the client authenticates by its first message."""
    fd = os.dup(server.sock.fileno())
    server.connected = False  # otherwise flask-sock would send a close frame
    member = viewer()
    cookie = (member.session_ref, member.ref) if member is not None and member.token else None
    telemetry.leave_unobserved()
    live.hub_of().adopt(fd, _address(), _early_bytes(), telemetry.handshake(), cookie)
    g.pop("live_reserved")


Sock().route("/ws", bp=bp, endpoint="ws")(connect)  # not as a decorator: flask-sock's returns None


def _address() -> str:
    return request.remote_addr or "unknown"


def _early_bytes() -> bytes:
    """Return what the client sent before our answer, which gunicorn has read together with the request."""
    unreader = getattr(getattr(request.environ["wsgi.input"], "reader", None), "unreader", None)
    early: bytes = unreader.take_buffered() if unreader is not None else b""
    return early


# -- checks before the handshake ---------------------------------------------------------------------------------------


@bp.before_request
def _check() -> Response | None:
    return _refuse() if request.endpoint == _ENDPOINT else None


def _refuse() -> Response | None:
    """Refuse a request that must not become a connection, or reserve a place for it. Raises ChurchErrors."""
    if not _is_handshake():
        telemetry.track_live_opened("refused_handshake")
        raise InvalidError("This address is for WebSockets, version 13.")
    if not _is_same_origin():
        telemetry.track_live_opened("refused_origin")
        telemetry.track_security_event("csrf_refused", "medium", reason="origin")
        raise ForbiddenError("Connect from this site.")
    outcome = live.hub_of().reserve(_address())
    if outcome is None:
        g.live_reserved = True
        viewer_or_unavailable()  # looks up the cookie; raises if that is impossible now, and the client tries again
        request.environ.pop(_EXTENSIONS, None)  # no extension is supported
        return None
    telemetry.track_live_opened(outcome)
    if outcome == "refused_full":
        raise UnavailableError("Too many connections. Try again later.")
    return error_response(429, retry_after=10)


@bp.teardown_request
def _release(_error: BaseException | None) -> None:
    """Give the reserved place back after a failed handshake."""
    if g.pop("live_reserved", False):
        live.hub_of().release(_address())


@bp.errorhandler(ConnectionError)
def _on_client_gone(error: ConnectionError) -> Response:
    """Answer 400 if the client went away during the handshake, as for an unfinished request."""
    if request.endpoint != _ENDPOINT:
        raise error
    return error_response(400)


def _is_handshake() -> bool:
    """Check section 4.2.1, as far as werkzeug has not; a request body would be read as frames."""
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
    """Return gunicorn's socket of the client; None for another server, or if gunicorn itself does TLS on it."""
    raw = request.environ.get("gunicorn.socket")
    return None if hasattr(raw, "cipher") else raw


def _is_same_origin() -> bool:
    """Whether Origin is this site (ASVS 5.0.0, 4.4.2); programs have to send it, too."""
    return is_own_origin(request.headers.get("Origin", ""))
