"""The maintenance flag: a file in the instance folder, which every process of a host sees and no restart loses."""

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

# Seconds that a process believes what it last saw.
_FRESH = 1.0
_USUAL_RETRY = 300
_SHORTEST_RETRY = 60

_seen: dict[Path, tuple[float, bool]] = {}


def turn_on(settings: Settings, minutes: int | None = None) -> None:
    """Answer visitors with 503. ``minutes`` is what they are told; the flag stays until ``turn_off``."""
    path = _path(settings)
    make_private(path.parent)
    until = utc_now().timestamp() + minutes * 60 if minutes is not None else None
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps({"until": until}))
    draft.replace(path)
    _seen.pop(path, None)


def turn_off(settings: Settings) -> None:
    """Let visitors in again; other processes notice within a second."""
    path = _path(settings)
    path.unlink(missing_ok=True)
    _seen.pop(path, None)


def is_on(settings: Settings) -> bool:
    """Whether visitors get the maintenance page; asks the file system once a second at most."""
    path = _path(settings)
    now = time.monotonic()
    checked, on = _seen.get(path, (-_FRESH, False))
    if now - checked >= _FRESH or path not in _seen:
        on = path.exists()
        _seen[path] = (now, on)
    return on


def retry_after(settings: Settings) -> int:
    """Seconds for the Retry-After header: what is left of the minutes that were told, at least one minute."""
    try:
        until = json.loads(_path(settings).read_text())["until"]
        left = float(until) - utc_now().timestamp()
    except (OSError, ValueError, TypeError, KeyError):
        return _USUAL_RETRY
    return max(_SHORTEST_RETRY, round(left))


def _path(settings: Settings) -> Path:
    return settings.instance / "maintenance"


_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]{1,255}|\[[0-9A-Fa-f:.]{2,64}\])(?::\d{0,5})?")


def open_in_maintenance(endpoint: str) -> bool:
    """Whether a route answers while the site is shut: what machines need, and the looks of the page that says so."""
    return endpoint in current_app.extensions["open_in_maintenance"] or endpoint == "static"


def _turn_away(settings: Settings) -> None:
    environ = request.environ
    if "HTTP_CONTENT_ENCODING" in environ:
        raise UnsupportedMediaType  # an inflated body could be any size
    if not _is_host(environ.get("HTTP_HOST"), environ.get("SERVER_PROTOCOL", "")):
        raise BadRequest
    if "\0" in request.path:
        raise NotFound  # no address of ours holds one, and it ends a text early for whoever reads it in C
    if is_on(settings) and not open_in_maintenance(request.endpoint or ""):
        wait = retry_after(settings)
        raise UnavailableError("The site is being looked after and will be back soon.", retry_after=wait)


def _is_host(host: str | None, protocol: str) -> bool:
    """RFC 9112, section 3.2: HTTP/1.1 has to name a host, and one that is named has to be one (RFC 3986)."""
    return protocol != "HTTP/1.1" if host is None else _HOST.fullmatch(host) is not None


def init_app(app: Flask, always_open: frozenset[str]) -> None:
    """``always_open`` are the endpoints that answer during maintenance: health, metrics, webhooks."""
    app.extensions["open_in_maintenance"] = always_open
    settings: Settings = app.config["CHURCH"]
    app.before_request(lambda: _turn_away(settings))
