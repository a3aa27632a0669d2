"""The pages of /video: the list, the watch page with its player, the stream, and where a member left off.

A browser opens the watch page, which has a signed address for the player. The player gets the stream from there, and a
new address from ``/video/access`` before the old one expires.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from flask import Blueprint, Response, jsonify, make_response, redirect, render_template, request, url_for
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from church import telemetry
from church.config import current_settings
from church.extensions import db
from church.lib.text import one_line
from church.lib.threads import run_off_hub
from church.lib.validators import Validators
from church.services import videos
from church.services.videos import (
    AllowedStream,
    UnknownKeyError,
    UnknownVideoError,
    VideoPart,
    WatchView,
    bucket_origin,
    presign,
)
from church.web import answer_cache, headers, identity
from church.web.file_answers import answer_file
from church.web.forms import read_fields, safe_next
from church.web.identity import viewer_or_unavailable
from church.web.kept_pages import answer_page
from church.web.list_parts import PART_PARAMETERS, AskedPart, make_choices, make_links, read_part
from church.web.public_answers import publish
from church.web.rate_limits import limited
from church.web.responses import keep_private, require_account, respond_done
from church.web.route_access import EVERYONE, MEMBERS, allow

if TYPE_CHECKING:
    from flask import Flask

bp = Blueprint("video", __name__, url_prefix="/video")

PAGE_SIZE = videos.PART_SIZE
_MAX_STARTED = 4
_MAX_QUERY = 200
_MAX_SECOND_DIGITS = 6
_MAX_QUALITY_LENGTH = 20
_MAX_PARAMETER_LENGTH = 64
_MAX_POSITION_MS = 24 * 3600 * 1000
_MAX_NEXT_LENGTH = 1000
_VIDEO_TYPE = "video/mp4"
_NGINX_LOCATION = "/_videos"  # ops/nginx/church.conf maps it to the video folder
_YEAR = 365 * 24 * 3600
_ASSET_TYPES = {"jpg": "image/jpeg", "vtt": "text/vtt"}


@bp.record
def _set_up(state: BlueprintSetupState) -> None:
    app = cast("Flask", state.app)
    videos.init_app(app)
    answer_cache.depends_on(app, "videos", partial(videos.find_version, app))


# -- the list and the watch page ------------------------------------------------------------------------------------


@bp.get("/")
@allow(EVERYONE)
@limited("page")
@limited("search", when=lambda: bool(request.args.get("q")))
@db.snapshot()
def listing() -> AnyResponse:
    """List the videos in parts, newest first, or the results of a search.

    The first part begins with those that the member has not finished. Query: ``after``, ``before`` or ``month`` for a
    part, ``q`` for a search.
    """
    if "page" in request.args:  # as the parts were numbered before
        return redirect(url_for("video.listing"), 301)
    query, asked = one_line(request.args.get("q", "")[:_MAX_QUERY]), read_part()
    part = _find(query, asked) if query else _list(asked)
    if not part.videos and not asked.is_first:
        raise NotFound
    if asked.before is not None and part.previous is None:
        return redirect(url_for("video.listing"))  # whole, from its beginning
    return _show_part(query, asked, part)


def _list(asked: AskedPart) -> VideoPart:
    place = {"after": asked.after, "before": asked.before}
    try:
        return videos.list_videos(identity.reader(), _member_id(), PAGE_SIZE, from_day=asked.from_day, **place)
    except UnknownKeyError:
        raise NotFound from None


def _find(query: str, asked: AskedPart) -> VideoPart:
    if asked.before is not None or asked.month is not None:
        raise NotFound
    try:
        return videos.search_videos(query, identity.reader(), _member_id(), PAGE_SIZE, after=asked.after)
    except UnknownKeyError:
        raise NotFound from None


def _show_part(query: str, asked: AskedPart, part: VideoPart) -> Response:
    reader, member = identity.reader(), _member_id()
    is_begin = asked.is_first and not query
    context = {
        "videos": part.videos,
        "query": query,
        "is_first": asked.is_first,
        "begun": videos.list_unfinished(reader, member, _MAX_STARTED) if is_begin and member is not None else (),
        "links": make_links("/video/", asked, previous=part.previous, next=part.next, q=query),
        "total": max(videos.count_videos(), len(part.videos)),
        "choices": () if query or not (part.next or part.previous) else make_choices(videos.list_months()),
        "chosen": asked.month,
    }
    if query or not identity.is_anonymous():
        return keep_private(make_response(render_template("video/list.html", **context)))
    response = publish(answer_page("video/list.html", **context))
    answer_cache.offer(*PART_PARAMETERS)
    return response


@bp.get("/<slug>")
@allow(EVERYONE)
@limited("page")
def watch(slug: str) -> Response:
    """Show the video, or its poster and description to a viewer who may not watch it.

    Query: ``quality`` is the rendition to start with, ``t`` the second to start at.
    """
    member = _member_id()
    try:
        video = videos.load_watch_view(slug, identity.reader(), member)
    except UnknownVideoError:
        telemetry.track_content_access("video", "unknown", "not_found")
        raise
    if not video.open:
        identity.require_known_viewer()
        identity.remember_refused_page()
        telemetry.track_content_access("video", video.access, "teaser")
    context = _player_context(video, member is not None) if video.open else {}
    response = make_response(render_template("video/watch.html", video=video, **context))
    response.headers["Referrer-Policy"] = "no-referrer"
    return keep_private(response)


def _member_id() -> int | None:
    """Return the id of the signed-in member; None for strangers and accounts without a confirmed address."""
    viewer = identity.viewer()
    return viewer.user_id if viewer is not None and viewer.is_member else None


def _player_context(video: WatchView, is_member: bool) -> dict[str, object]:
    """Build what the player template needs: a signed address and where to start.

    Access is counted by the service that grants the address.
    """
    quality = request.args.get("quality", "")[:_MAX_QUALITY_LENGTH]
    address = _stream_address(video.slug, quality)
    if current_settings().video_offload == "s3":
        headers.allow_media_from((bucket_origin(current_settings()),))
    start_ms, resumed = _start_position(video)
    return {
        "source": address["url"],
        "playback": address["playback"],
        "quality": address["quality"],
        "lasts": max(0, address["expires_at"] - int(time.time())),
        "start_ms": start_ms,
        "resumed": resumed,
        "is_member": is_member,
        "remembers": is_member and video.resume,
    }


def _start_position(video: WatchView) -> tuple[int, bool]:
    """Return the millisecond to start at, and whether it is where the member left off."""
    second = request.args.get("t", "")[:_MAX_SECOND_DIGITS]
    if second.isascii() and second.isdigit():
        return min(int(second) * 1000, video.duration_ms), False
    return video.resume_ms, video.resume_ms > 0


# -- signed addresses and the stream --------------------------------------------------------------------------------


@bp.get("/access/<slug>")
@allow(EVERYONE)
@limited("video")
def access(slug: str) -> Response:
    """Give a viewer who may watch a signed stream address. ``playback`` continues an earlier playback."""
    quality, playback = (request.args.get(name, "")[:_MAX_PARAMETER_LENGTH] for name in ("quality", "playback"))
    return keep_private(jsonify(_stream_address(slug, quality, playback)))


def _stream_address(slug: str, quality: str = "", playback: str = "") -> dict[str, Any]:
    """Sign a stream address for the viewer, with the qualities to choose from, best first.

    ``expires_at`` is in seconds since 1970. Raises UnknownVideoError, UnauthorizedError and ForbiddenError.
    """
    granted = videos.grant_address(slug, viewer_or_unavailable(), quality, playback)
    qualities = [
        {
            "quality": rendition.quality,
            "width": rendition.width,
            "height": rendition.height,
            "bitrate": rendition.bitrate,
            "bytes": rendition.bytes,
        }
        for rendition in granted.video.renditions.values()
    ]
    return {
        "url": url_for("video.stream", slug=slug, token=granted.signed.token),
        "expires_at": granted.signed.expires_at,
        "playback": granted.signed.playback,
        "quality": granted.rendition.quality,
        "qualities": qualities,
    }


@bp.get("/stream/<slug>")
@allow(EVERYONE)
@limited("stream")
def stream(slug: str) -> Response:
    """Send the video, or the requested range of it, to the holder of a valid ``token``."""
    admitted = videos.check_token(slug, request.args.get("token", ""), viewer_or_unavailable())
    offload = current_settings().video_offload
    if offload == "x-accel":
        response = _send_by_nginx(admitted)
    elif offload == "s3" and admitted.rendition.in_bucket:
        response = _redirect_to_bucket(admitted)
    else:
        response = _send_file(admitted)
    # Only the viewer's browser may see it, and the address with its token never leaves as a referrer.
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _send_by_nginx(admitted: AllowedStream) -> Response:
    """Name the file to nginx, which sends it and handles ranges and conditions."""
    if request.method == "GET" and admitted.rendition.path.is_file():
        videos.count_playback(admitted)
    response = Response(content_type=_VIDEO_TYPE)
    response.headers["X-Accel-Redirect"] = quote(f"{_NGINX_LOCATION}/{admitted.video.ref}/{admitted.rendition.file}")
    return response


def _redirect_to_bucket(admitted: AllowedStream) -> Response:
    """Redirect to the bucket for as long as the token is valid: players use that address again when they seek."""
    if request.method == "GET":
        videos.count_playback(admitted)
    seconds = max(1, admitted.expires_at - int(time.time()))
    response = Response(status=302)
    key = f"{admitted.video.ref}/{admitted.rendition.file}"
    response.headers["Location"] = presign(current_settings(), key, seconds, method=request.method)
    return response


def _send_file(admitted: AllowedStream) -> Response:
    """Send the file from this process, by sendfile where the server can."""
    source = videos.open_rendition(admitted.rendition)
    response = answer_file(
        source.file,
        source.size,
        Validators(source.etag, source.modified),
        _VIDEO_TYPE,
        patience=current_settings().video_write_timeout,
        ended=telemetry.track_video_transfer,
    )
    if response.status_code in {200, 206} and request.method == "GET":
        videos.count_playback(admitted)
    return response


# -- posters, captions and thumbnails -------------------------------------------------------------------------------


@bp.get("/assets/<slug>/<name>")
@allow(EVERYONE)
@limited("stream")
def asset(slug: str, name: str) -> Response:
    """Send a poster to everyone; captions and thumbnails only to viewers who may watch the video.

    A poster requested with ``v`` can be cached for a year, because a new poster has a new ``v``.
    """
    is_poster = name == videos.POSTER
    if not is_poster:
        identity.require_known_viewer()
    path = videos.find_asset(slug, name, identity.reader())
    try:
        data = run_off_hub(path.read_bytes)
    except FileNotFoundError:  # removed in the meantime
        raise NotFound from None
    response = Response(data, mimetype=_ASSET_TYPES.get(name.rpartition(".")[2]))
    response.add_etag()
    public = f"public, max-age={_YEAR if request.args.get('v') else 300}"
    response.headers["Cache-Control"] = public if is_poster else "private, no-cache"
    if not is_poster:
        response.vary.add("Cookie")
    response.make_conditional(request)
    return response


# -- where a member left off ----------------------------------------------------------------------------------------


@bp.post("/progress/<slug>")
@allow(MEMBERS)
@limited("video")
def progress(slug: str) -> Response:
    """Save ``position_ms``. The answer's ``kept`` is false for members who turned resume off."""
    sent = read_fields()
    position = sent.number("position_ms", _MAX_POSITION_MS)
    sent.check()
    kept = videos.save_position(slug, require_account().user_id, identity.reader(), position)
    return keep_private(jsonify(kept=kept))


@bp.post("/settings/resume")
@allow(MEMBERS)
@limited("video")
def resume() -> Response:
    """Turn resume on, or turn it off and remove all saved positions; then go back to ``next``."""
    sent = read_fields()
    wanted, back = sent.flag("wanted"), sent.text("next", _MAX_NEXT_LENGTH, required=False)
    sent.check()
    videos.set_resume(require_account().user_id, wanted)
    message = "Resume is on." if wanted else "Resume is off. Your saved positions were removed."
    return keep_private(respond_done(message, safe_next(back) or "/video/"))
