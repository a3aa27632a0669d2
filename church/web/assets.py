"""Versioned URLs of static files: each changes with its content, so that browsers may cache it for a year."""

from __future__ import annotations

import hashlib
import time
from functools import wraps
from pathlib import Path
from posixpath import normpath
from typing import TYPE_CHECKING

from flask import request, url_for

from church.web import answer_cache

if TYPE_CHECKING:
    from flask import Flask, Response

_YEAR = 365 * 24 * 3600
_MAX_IN_MEMORY = 262_144  # bytes; a larger file is sent as a file, uncompressed
_TEXT = frozenset({"text/css", "text/javascript", "application/javascript", "image/svg+xml", "text/plain"})


class Assets:
    """Versioned URLs of the files in ``folder``. Each file is checked for changes at most once a second.

    ``modified`` is the time, in seconds since 1970, since which pages with these URLs are unchanged: the start of the
    process, which has read templates and settings, or the last time that a file was found changed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cache: dict[str, tuple[float, int, str]] = {}  # name: check again at, mtime in ns, URL
        self._due = 0.0  # when ``find_version`` checks all files again
        self._changes = 0
        self.modified = time.time()

    def address(self, name: str) -> str:
        """The versioned URL of ``static/name``. Raises FileNotFoundError if there is no such file."""
        now = time.monotonic()
        cached = self._cache.get(name)
        if cached is not None and now < cached[0]:
            return cached[2]
        path = self._folder / name
        changed = path.stat().st_mtime_ns
        if cached is not None and changed == cached[1]:
            address = cached[2]
        else:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            address = url_for("static", filename=name, v=digest)
            if cached is not None:  # our clock, not the file's: an upgrade may bring files with old dates
                self.modified = time.time()
                self._changes += 1
        self._cache[name] = (now + 1.0, changed, address)
        return address

    def find_version(self) -> int:
        """Return a number that changes when one of the files changes or is gone, within a second."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + 1.0
            for name, (_, changed, _) in list(self._cache.items()):
                if _find_change(self._folder / name) != changed:
                    del self._cache[name]
                    self.modified = time.time()
                    self._changes += 1
        return self._changes


def _find_change(path: Path) -> int | None:
    """The mtime of a file in nanoseconds; None without it."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _load_small_text(response: Response) -> None:
    """Read a small text file into the response, so that it is compressed. A partial answer (206) stays a file."""
    small = (response.content_length or 0) <= _MAX_IN_MEMORY
    if response.status_code == 200 and response.direct_passthrough and response.mimetype in _TEXT and small:
        data = b"".join(response.iter_encoded())
        response.response.close()  # type: ignore[union-attr]  # an open file
        response.direct_passthrough = False
        response.set_data(data)


def init_app(app: Flask) -> None:
    """Offer ``asset(name)`` to the templates, and let browsers cache these URLs for a year."""
    assets = Assets(Path(app.static_folder or "static"))

    def is_current() -> bool:
        name = normpath((request.view_args or {})["filename"])  # otherwise each spelling of a name would be cached
        try:
            return assets.address(name).endswith(f"?v={request.args.get('v')}")
        except OSError:
            return False

    send = app.view_functions["static"]

    @wraps(send)
    def send_static(filename: str) -> Response:
        response = app.make_response(app.ensure_sync(send)(filename=filename))
        if response.status_code in {200, 206, 304}:
            # For the current version only: during an upgrade another host may still have the old content.
            lasting = f"public, max-age={_YEAR}, immutable"
            response.headers["Cache-Control"] = lasting if is_current() else "public, max-age=300"
            _load_small_text(response)
            answer_cache.offer("v", depends_on=("assets",))
        return response

    app.extensions["assets"] = assets
    answer_cache.depends_on(app, "assets", assets.find_version)
    app.template_global("asset")(assets.address)
    app.view_functions["static"] = send_static
