"""Signed addresses: where a player learns what to play, and before that ends, anew."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request, url_for

from church.blueprints.video.blueprint import bp
from church.services.videos.streaming import player_addresses
from church.web.identity import known_viewer
from church.web.rate_limits import limited
from church.web.responses import keep_private
from church.web.route_access import EVERYONE, allow

_LONGEST = 64


@bp.get("/access/<slug>")
@allow(EVERYONE)
@limited("video")
def access(slug: str) -> Response:
    """The signed address for who may watch; with ``playback`` it goes on with an earlier one."""
    quality, playback = (request.args.get(name, "")[:_LONGEST] for name in ("quality", "playback"))
    return keep_private(jsonify(watch_address(slug, quality, playback)))


def watch_address(slug: str, quality: str = "", playback: str = "") -> dict[str, Any]:
    """What ``access`` answers, for a page that has it from the start: ``url``, ``expires_at`` (seconds since 1970),
    ``quality``, ``playback`` and ``qualities``, the best first.

    Raises UnknownVideoError, UnauthorizedError and ForbiddenError.
    """
    granted = player_addresses.grant(slug, known_viewer(), quality, playback)
    offered = [
        {"quality": one.quality, "width": one.width, "height": one.height, "bitrate": one.bitrate, "bytes": one.bytes}
        for one in granted.video.renditions.values()
    ]
    return {
        "url": url_for("video.stream", slug=slug, token=granted.signed.token),
        "expires_at": granted.signed.expires_at,
        "playback": granted.signed.playback,
        "quality": granted.rendition.quality,
        "qualities": offered,
    }
