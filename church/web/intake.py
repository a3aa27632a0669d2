"""What is turned away before any view: requests in a form that is not taken, or while the site is shut."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask import current_app, request
from werkzeug.exceptions import BadRequest, NotFound, UnsupportedMediaType

from church.config import current_settings
from church.errors import UnavailableError
from church.web import maintenance

if TYPE_CHECKING:
    from flask import Flask

_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]{1,255}|\[[0-9A-Fa-f:.]{2,64}\])(?::\d{0,5})?")


def open_in_maintenance(endpoint: str) -> bool:
    """Whether a route answers while the site is shut: what machines need, and the looks of the page that says so."""
    return endpoint in current_app.extensions["open_in_maintenance"] or endpoint == "static"


def _turn_away() -> None:
    environ = request.environ
    if "HTTP_CONTENT_ENCODING" in environ:
        raise UnsupportedMediaType  # an inflated body could be any size
    if not _is_host(environ.get("HTTP_HOST"), environ.get("SERVER_PROTOCOL", "")):
        raise BadRequest
    if "\0" in request.path:
        raise NotFound  # no address of ours holds one, and it ends a text early for whoever reads it in C
    if maintenance.is_on(current_settings()) and not open_in_maintenance(request.endpoint or ""):
        wait = maintenance.retry_after(current_settings())
        raise UnavailableError("The site is being looked after and will be back soon.", retry_after=wait)


def _is_host(host: str | None, protocol: str) -> bool:
    """RFC 9112, section 3.2: HTTP/1.1 has to name a host, and one that is named has to be one (RFC 3986)."""
    return protocol != "HTTP/1.1" if host is None else _HOST.fullmatch(host) is not None


def init_app(app: Flask, always_open: frozenset[str]) -> None:
    """``always_open`` are the endpoints that answer during maintenance: health, metrics, webhooks."""
    app.extensions["open_in_maintenance"] = always_open
    app.before_request(_turn_away)
