"""Addresses of static files that change with their content, so that a browser may keep each for ever."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from flask import request, url_for

if TYPE_CHECKING:
    from flask import Flask, Response

_YEAR = 365 * 24 * 3600


@lru_cache(maxsize=512)
def _fingerprint(path: Path, _mtime_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def init_app(app: Flask) -> None:
    """Offer ``asset(name)`` to the templates, and let what it names be cached for a year."""
    folder = Path(app.static_folder or "static")

    @lru_cache(maxsize=512)
    def address(name: str, mtime_ns: int) -> str:
        return url_for("static", filename=name, v=_fingerprint(folder / name, mtime_ns))

    def asset(name: str) -> str:
        """The versioned address of ``static/name``. Raises FileNotFoundError for a name that is not there."""
        return address(name, (folder / name).stat().st_mtime_ns)

    def cache(response: Response) -> Response:
        if request.endpoint == "static" and response.status_code in {200, 206, 304}:
            lasting = "v" in request.args
            response.headers["Cache-Control"] = (
                f"public, max-age={_YEAR}, immutable" if lasting else "public, max-age=300"
            )
        return response

    app.template_global("asset")(asset)
    app.after_request(cache)
