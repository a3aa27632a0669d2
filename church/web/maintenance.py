"""Maintenance mode and basic checks of every request.

Maintenance is on while a file exists in the instance folder, so that every process of a host sees it and a restart
keeps it.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from flask import current_app, request
from werkzeug.exceptions import BadRequest, NotFound, UnsupportedMediaType

from church.config import Settings
from church.errors import UnavailableError
from church.lib.files import make_private
from church.models.base import utc_now

if TYPE_CHECKING:
    from flask import Flask

# Seconds. A process looks for the file at most this often.
_FRESH = 1.0
_DEFAULT_RETRY = 300
_MIN_RETRY = 60

_seen: dict[Path, tuple[float, bool]] = {}


def turn_on(settings: Settings, minutes: int | None = None) -> None:
    """Answer visitors with 503 until ``turn_off``. ``minutes`` is only the estimate that they are shown."""
    path = _path(settings)
    make_private(path.parent)
    until = utc_now().timestamp() + minutes * 60 if minutes is not None else None
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps({"until": until}))
    draft.replace(path)
    _seen.pop(path, None)


def turn_off(settings: Settings) -> None:
    """End maintenance. Other processes notice within a second."""
    path = _path(settings)
    path.unlink(missing_ok=True)
    _seen.pop(path, None)


def is_on(settings: Settings) -> bool:
    """Whether visitors get the maintenance page. Checks the file at most once a second."""
    path = _path(settings)
    now = time.monotonic()
    checked, on = _seen.get(path, (-_FRESH, False))
    if now - checked >= _FRESH or path not in _seen:
        on = path.exists()
        _seen[path] = (now, on)
    return on


def retry_after(settings: Settings) -> int:
    """Seconds for the Retry-After header: the rest of the estimate, at least one minute."""
    try:
        until = json.loads(_path(settings).read_text())["until"]
        left = float(until) - utc_now().timestamp()
    except (OSError, ValueError, TypeError, KeyError):
        return _DEFAULT_RETRY
    return max(_MIN_RETRY, round(left))


def _path(settings: Settings) -> Path:
    return settings.instance / "maintenance"


_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]{1,255}|\[[0-9A-Fa-f:.]{2,64}\])(?::\d{0,5})?")


def is_open_in_maintenance(endpoint: str) -> bool:
    """Whether a route answers during maintenance: routes for machines, and the static files of the error page."""
    return endpoint in current_app.extensions["open_in_maintenance"] or endpoint == "static"


def _check_request(settings: Settings) -> None:
    """Refuse malformed requests, and visitors during maintenance."""
    environ = request.environ
    if "HTTP_CONTENT_ENCODING" in environ:
        raise UnsupportedMediaType  # a compressed body could expand to any size
    if not _is_host(environ.get("HTTP_HOST"), environ.get("SERVER_PROTOCOL", "")):
        raise BadRequest
    if "\0" in request.path:
        raise NotFound  # no route has one, and C code would read the path only up to it
    if is_on(settings) and not is_open_in_maintenance(request.endpoint or ""):
        wait = retry_after(settings)
        raise UnavailableError("The site is under maintenance. It will be back soon.", retry_after=wait)


def _is_host(host: str | None, protocol: str) -> bool:
    """Whether the Host header is valid (RFC 3986) or may be missing: HTTP/1.1 requires one (RFC 9112, section 3.2)."""
    return protocol != "HTTP/1.1" if host is None else _HOST.fullmatch(host) is not None


def init_app(app: Flask, always_open: frozenset[str]) -> None:
    """Check every request. ``always_open`` are endpoints that answer during maintenance: health, metrics, webhooks."""
    app.extensions["open_in_maintenance"] = always_open
    settings: Settings = app.config["CHURCH"]
    app.before_request(lambda: _check_request(settings))
