"""The page on which a video is watched; to whom it is not open, its poster, what it is about, and the way in."""

from __future__ import annotations

from datetime import datetime

from flask import Response, make_response, render_template, request

from church import identity, telemetry
from church.access import EVERYONE, allow
from church.answers import keep_private
from church.blueprints.video.blueprint import bp, member_id
from church.limits import limited
from church.models.base import utc_now
from church.services import video_signing, videos
from church.services.videos import UnknownVideoError, WatchView

_USUAL = "720p"
_BARELY_BEGUN = 5_000  # milliseconds of a video that one need not be brought back to
_MOST_DIGITS = 6


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
    telemetry.track_content_access("video", found.access, "granted" if found.open else "teaser")
    context = _playing(found, member is not None) if found.open else {}
    response = make_response(render_template("video/watch.html", video=found, **context))
    response.headers["Referrer-Policy"] = "no-referrer"
    return keep_private(response)


def _playing(found: WatchView, member: bool) -> dict[str, object]:
    """What the player begins with: a signed address, and where."""
    playback, quality = video_signing.new_playback(), _quality(found)
    source = video_signing.sign(found.ref, quality, identity.viewer(), playback)
    start_ms, resumed = _start(found)
    return {
        "source": source,
        "playback": playback,
        "quality": quality,
        "lasts": _seconds_until(source.expires_at),
        "start_ms": start_ms,
        "resumed": resumed,
        "member": member,
        "remembers": member and found.resume,
    }


def _quality(found: WatchView) -> str:
    """What was asked for, if there is such a one; else what streams well anywhere."""
    wanted = (request.args.get("quality", "")[:20], _USUAL)
    return next((one for one in wanted if one in found.qualities), found.qualities[0])


def _start(found: WatchView) -> tuple[int, bool]:
    """The millisecond to begin at, and whether that is where the member left off."""
    asked = request.args.get("t", "")[:_MOST_DIGITS]
    if asked.isascii() and asked.isdigit():
        return min(int(asked) * 1000, found.duration_ms), False
    at = found.watched.position_ms if found.watched is not None and found.resume else 0
    return (at, True) if at >= _BARELY_BEGUN else (0, False)


def _seconds_until(moment: datetime) -> int:
    return max(0, int((moment - utc_now()).total_seconds()))
