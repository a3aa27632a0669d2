"""The list of the videos."""

from __future__ import annotations

from flask import Response, make_response, render_template

from church import identity
from church.access import EVERYONE, allow
from church.answers import keep_private
from church.blueprints.video.blueprint import bp, member_id
from church.limits import limited
from church.services import videos

_MOST_BEGUN = 4


@bp.get("/")
@allow(EVERYONE)
@limited("page")
def listing() -> Response:
    """All videos, newest first; before them those that the member has begun, the last watched first."""
    found = videos.listing(identity.reader(), member_id())
    begun = [video for video in found if video.watched is not None and video.open and not video.watched.finished]
    begun.sort(key=lambda video: video.watched.updated_at if video.watched else video.published_at, reverse=True)
    return keep_private(make_response(render_template("video/list.html", videos=found, begun=begun[:_MOST_BEGUN])))
