"""The page on which a video is watched; to whom it is not open, its poster, what it is about, and the way in."""

from __future__ import annotations

import time

from flask import Response, make_response, render_template, request

from church import telemetry
from church.blueprints.video.access import watch_address
from church.blueprints.video.blueprint import bp, member_id
from church.config import current_settings
from church.services import videos
from church.services.videos import UnknownVideoError, WatchView
from church.services.videos.storage.bucket import bucket_origin
from church.web import headers, identity
from church.web.rate_limits import limited
from church.web.responses import keep_private
from church.web.route_access import EVERYONE, allow

_BARELY_BEGUN = 5_000  # milliseconds of a video that one need not be brought back to
_MOST_DIGITS = 6
_LONGEST_QUALITY = 20


@bp.get("/<slug>")
@allow(EVERYONE)
@limited("page")
def watch(slug: str) -> Response:
    """The video at ``slug`` as far as it is open: ``quality`` is one of its own, ``t`` the second to begin at."""
    member = member_id()
    try:
        found = videos.watch_view(slug, identity.reader(), member)
    except UnknownVideoError:
        telemetry.track_content_access("video", "unknown", "not_found")
        raise
    if not found.open:
        identity.insist()
        telemetry.track_content_access("video", found.access, "teaser")
    context = _playing(found, member is not None) if found.open else {}
    response = make_response(render_template("video/watch.html", video=found, **context))
    response.headers["Referrer-Policy"] = "no-referrer"
    return keep_private(response)


def _playing(found: WatchView, is_member: bool) -> dict[str, object]:
    """What the player begins with: a signed address, and where. The grant is counted by who gives it."""
    quality = request.args.get("quality", "")[:_LONGEST_QUALITY]
    granted = watch_address(found.slug, quality)
    if current_settings().video_offload == "s3":
        headers.media_from((bucket_origin(current_settings()),))
    start_ms, resumed = _start(found)
    return {
        "source": granted["url"],
        "playback": granted["playback"],
        "quality": granted["quality"],
        "lasts": max(0, granted["expires_at"] - int(time.time())),
        "start_ms": start_ms,
        "resumed": resumed,
        "is_member": is_member,
        "remembers": is_member and found.resume,
    }


def _start(found: WatchView) -> tuple[int, bool]:
    """The millisecond to begin at, and whether that is where the member left off."""
    asked = request.args.get("t", "")[:_MOST_DIGITS]
    if asked.isascii() and asked.isdigit():
        return min(int(asked) * 1000, found.duration_ms), False
    at = found.watched.position_ms if found.watched is not None and found.resume else 0
    return (at, True) if at >= _BARELY_BEGUN else (0, False)
