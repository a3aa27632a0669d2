"""The small files of a video: its poster for everyone, captions and pictures for seeking for who may watch it."""

from __future__ import annotations

from flask import Response, request
from werkzeug.exceptions import NotFound

from church.blueprints.video.blueprint import bp
from church.lib.threads import off_hub
from church.services import videos
from church.web import identity
from church.web.rate_limits import limited
from church.web.route_access import EVERYONE, allow

_YEAR = 365 * 24 * 3600
_TYPES = {"jpg": "image/jpeg", "vtt": "text/vtt"}


@bp.get("/assets/<slug>/<name>")
@allow(EVERYONE)
@limited("stream")
def asset(slug: str, name: str) -> Response:
    """The file ``name``. A poster by its video's ``v`` may be kept for good: another one has another address."""
    is_poster = name == videos.POSTER
    if not is_poster:
        identity.insist()
    found = videos.asset(slug, name, identity.reader())
    try:
        data = off_hub(found.read_bytes)
    except FileNotFoundError:  # taken away since
        raise NotFound from None
    response = Response(data, mimetype=_TYPES.get(name.rpartition(".")[2]))
    response.add_etag()
    lasting = f"public, max-age={_YEAR if request.args.get('v') else 300}"
    response.headers["Cache-Control"] = lasting if is_poster else "private, no-cache"
    if not is_poster:
        response.vary.add("Cookie")
    response.make_conditional(request)
    return response
