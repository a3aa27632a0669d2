"""Addresses of static files that change with their content, so that a browser may keep each for ever."""

from __future__ import annotations

import hashlib
import time
from functools import wraps
from pathlib import Path
from posixpath import normpath
from typing import TYPE_CHECKING

from flask import request, url_for

if TYPE_CHECKING:
    from flask import Flask, Response

_YEAR = 365 * 24 * 3600
_MOST_HELD = 262_144  # bytes of a file that is answered from memory
_TEXT = frozenset({"text/css", "text/javascript", "application/javascript", "image/svg+xml", "text/plain"})


class Assets:
    """Addresses of the files below ``folder``; a file is looked at once a second at most.

    ``modified`` is since when, in seconds since 1970, pages with these addresses look as they do: the start of the
    process, which has read templates and settings, or the last time that one of the files was found changed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[float, int, str]] = {}
        self.modified = time.time()

    def address(self, name: str) -> str:
        """The versioned address of ``static/name``. Raises FileNotFoundError for a name that is not there."""
        now = time.monotonic()
        known = self._known.get(name)
        if known is not None and now < known[0]:
            return known[2]
        path = self._folder / name
        changed = path.stat().st_mtime_ns
        if known is not None and changed == known[1]:
            address = known[2]
        else:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            address = url_for("static", filename=name, v=digest)
            if known is not None:  # by our clock: an upgrade may bring files with the dates of long ago
                self.modified = time.time()
        self._known[name] = (now + 1.0, changed, address)
        return address


def _hold(response: Response) -> None:
    """Make a small text file an ordinary response, which is compressed; what was asked for in part stays a file."""
    small = (response.content_length or 0) <= _MOST_HELD
    if response.status_code == 200 and response.direct_passthrough and response.mimetype in _TEXT and small:
        data = b"".join(response.iter_encoded())
        response.response.close()  # type: ignore[union-attr]  # it is an open file
        response.direct_passthrough = False
        response.set_data(data)


def init_app(app: Flask) -> None:
    """Offer ``asset(name)`` to the templates, and let what it names be cached for a year."""

    assets = Assets(Path(app.static_folder or "static"))

    def is_current() -> bool:
        name = normpath((request.view_args or {})["filename"])  # a name has many spellings, and each would be kept
        try:
            return assets.address(name).endswith(f"?v={request.args.get('v')}")
        except OSError:
            return False

    send = app.view_functions["static"]

    @wraps(send)
    def send_static(filename: str) -> Response:
        response = app.make_response(app.ensure_sync(send)(filename=filename))
        if response.status_code in {200, 206, 304}:
            # only by its own fingerprint: while hosts are upgraded, one may still have the older content
            lasting = f"public, max-age={_YEAR}, immutable"
            response.headers["Cache-Control"] = lasting if is_current() else "public, max-age=300"
            _hold(response)
        return response

    app.extensions["assets"] = assets
    app.template_global("asset")(assets.address)
    app.view_functions["static"] = send_static
