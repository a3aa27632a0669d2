"""The site with an extra path, /bench/bare: a bare loop of ``send`` over the sockets of all live connections."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from church import create_app
from church.live import client_messages, hub_of

app = create_app()
_frame = client_messages.build_frame("chat", room="public", message="x" * 300)
_inner = app.wsgi_app


def _with_bare_loop(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] != "/bench/bare":
        return _inner(environ, start_response)
    sends = [connection._sock.send for connection in hub_of(app).connections]
    for send in sends:
        send(_frame)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return []


app.wsgi_app = _with_bare_loop  # type: ignore[method-assign]
