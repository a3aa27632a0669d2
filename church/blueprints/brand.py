"""The site's own logo, share image and colours."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, request
from werkzeug.exceptions import NotFound

from church.services.brand import current_brand
from church.web import answer_cache
from church.web.route_access import EVERYONE, allow

bp = Blueprint("brand", __name__)

ALWAYS_OPEN = frozenset({"brand.file"})

_YEAR = 365 * 24 * 3600
_NOTHING_RUNS = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


@bp.get("/brand/<name>")
@allow(EVERYONE)
def file(name: str) -> Response:
    """Serve a file of the brand from memory, for a year under its current version."""
    found = current_brand().find_file(name)
    if found is None:
        raise NotFound
    response = make_response(found.content)
    response.content_type = f"{found.mimetype}; charset=utf-8" if found.mimetype == "text/css" else found.mimetype
    current = request.args.get("v") == found.version
    response.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable" if current else "public, max-age=300"
    if found.mimetype == "image/svg+xml":
        response.headers["Content-Security-Policy"] = _NOTHING_RUNS  # for those who open it as a page
    response.set_etag(found.version)
    response.make_conditional(request)
    answer_cache.offer("v", depends_on=())
    return response
