"""The list of the videos."""

from __future__ import annotations

from flask import Response, make_response, render_template, request
from werkzeug.exceptions import NotFound

from church import identity
from church.access import EVERYONE, allow
from church.answers import keep_private
from church.blueprints.video.blueprint import bp, member_id
from church.limits import limited
from church.services import videos

PAGE = 60
_MOST_BEGUN = 4
_MOST_DIGITS = 4


@bp.get("/")
@allow(EVERYONE)
@limited("page")
def listing() -> Response:
    """All videos, newest first, 60 a page; before them those that the member has begun, the last watched first."""
    page = _page()
    found = videos.listing(identity.reader(), member_id())
    begun = [video for video in found if video.watched is not None and video.open and not video.watched.finished]
    begun.sort(key=lambda video: video.watched.updated_at if video.watched else video.published_at, reverse=True)
    videos_here = found[(page - 1) * PAGE : page * PAGE]
    if page > 1 and not videos_here:
        raise NotFound
    shown = {
        "videos": videos_here,
        "begun": begun[:_MOST_BEGUN] if page == 1 else (),
        "older": page + 1 if len(found) > page * PAGE else None,
    }
    return keep_private(make_response(render_template("video/list.html", **shown)))


def _page() -> int:
    """Which page is asked for, from 1 on; the first where it is no number."""
    asked = request.args.get("page", "")[:_MOST_DIGITS]
    return max(1, int(asked)) if asked.isascii() and asked.isdigit() else 1
