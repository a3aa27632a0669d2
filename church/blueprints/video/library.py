"""The list of the videos."""

from __future__ import annotations

from flask import Response, make_response, render_template, request
from werkzeug.exceptions import NotFound

from church.blueprints.video.blueprint import bp, member_id
from church.services import videos
from church.web import identity
from church.web.rate_limits import limited
from church.web.responses import keep_private
from church.web.route_access import EVERYONE, allow

PAGE = 60
_MOST_BEGUN = 4
_MOST_DIGITS = 4


@bp.get("/")
@allow(EVERYONE)
@limited("page")
def listing() -> Response:
    """All videos, newest first, 60 a page; before them those that the member has begun, the last watched first."""
    page, reader, member = _page(), identity.reader(), member_id()
    found = videos.listing(reader, member, PAGE + 1, (page - 1) * PAGE)
    if page > 1 and not found:
        raise NotFound
    shown = {
        "videos": found[:PAGE],
        "begun": videos.begun(reader, member, _MOST_BEGUN) if page == 1 and member is not None else (),
        "older": page + 1 if len(found) > PAGE else None,
    }
    return keep_private(make_response(render_template("video/list.html", **shown)))


def _page() -> int:
    """Which page is asked for, from 1 on; the first where it is no number."""
    asked = request.args.get("page", "")[:_MOST_DIGITS]
    return max(1, int(asked)) if asked.isascii() and asked.isdigit() else 1
