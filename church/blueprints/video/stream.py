"""The stream itself: sent by the site, by nginx or by a bucket, to who shows the token for it."""

from __future__ import annotations

import time
from urllib.parse import quote

from flask import Response, request
from werkzeug.exceptions import PreconditionFailed, RequestedRangeNotSatisfiable
from werkzeug.wsgi import wrap_file

from church import telemetry
from church.blueprints.video.blueprint import bp
from church.config import current_settings
from church.services.videos.storage.bucket import presigned
from church.services.videos.streaming import player_addresses
from church.services.videos.streaming.player_addresses import Admitted
from church.web.byte_ranges import FileBody, asked
from church.web.identity import known_viewer
from church.web.rate_limits import limited
from church.web.route_access import EVERYONE, allow

_TYPE = "video/mp4"
_INTERNAL = "/_videos"  # ops/nginx/church.conf has the folder behind it
_PIECE = 64 * 1024  # read at once by a server without sendfile


@bp.get("/stream/<slug>")
@allow(EVERYONE)
@limited("stream")
def stream(slug: str) -> Response:
    """The video, or the range of it that is asked for."""
    admitted = player_addresses.admit(slug, request.args.get("token", ""), known_viewer())
    offload = current_settings().video_offload
    if offload == "x-accel":
        response = _by_nginx(admitted)
    elif offload == "s3" and admitted.rendition.in_bucket:
        response = _by_bucket(admitted)
    else:
        response = _by_us(admitted)
    # Nobody but its viewer may keep it; and from here no address, with its token, leads anywhere.
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _by_nginx(admitted: Admitted) -> Response:
    """nginx finds the file, and answers ranges and conditions by itself."""
    if request.method == "GET" and admitted.rendition.path.is_file():
        player_addresses.begin(admitted)
    response = Response(content_type=_TYPE)
    response.headers["X-Accel-Redirect"] = quote(f"{_INTERNAL}/{admitted.video.ref}/{admitted.rendition.file}")
    return response


def _by_bucket(admitted: Admitted) -> Response:
    """To the bucket, for as long as the token is good: players ask there again when they seek."""
    if request.method == "GET":
        player_addresses.begin(admitted)
    seconds = max(1, admitted.expires_at - int(time.time()))
    response = Response(status=302)
    key = f"{admitted.video.ref}/{admitted.rendition.file}"
    response.headers["Location"] = presigned(current_settings(), key, seconds, method=request.method)
    return response


def _by_us(admitted: Admitted) -> Response:
    file, version, size = player_addresses.opened(admitted.rendition)
    wanted = asked(request.method, request.headers, version, size)
    sends = request.method == "GET" and wanted.status in {200, 206}
    if not sends:
        file.close()
    if wanted.status == 412:
        raise PreconditionFailed
    if wanted.status == 416:
        raise RequestedRangeNotSatisfiable(length=size)
    response = Response(status=wanted.status, content_type=_TYPE)
    if sends:
        player_addresses.begin(admitted)
        body = FileBody(
            file,
            wanted.start,
            wanted.length,
            patience=current_settings().video_write_timeout,
            ended=telemetry.track_video_transfer,
        )
        response.response = wrap_file(request.environ, body, _PIECE)  # type: ignore[arg-type]  # reads as a file does
        response.direct_passthrough = True
    if wanted.status != 304:
        response.content_length = wanted.length
    if wanted.status == 206:
        response.headers["Content-Range"] = f"bytes {wanted.start}-{wanted.start + wanted.length - 1}/{size}"
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Last-Modified"] = version.last_modified
    response.set_etag(version.etag)
    return response
