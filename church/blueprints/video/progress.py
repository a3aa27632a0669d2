"""Where a member is in a video, told by the player, and whether the site is to remember it."""

from __future__ import annotations

from flask import Response, jsonify

from church.blueprints.video.blueprint import bp
from church.services import videos
from church.web import identity
from church.web.forms import fields, safe_next
from church.web.rate_limits import limited
from church.web.responses import done, keep_private, signed_in
from church.web.route_access import MEMBERS, allow

_LONGEST = 24 * 3600 * 1000
_LONGEST_NEXT = 1000


@bp.post("/progress/<slug>")
@allow(MEMBERS)
@limited("video")
def progress(slug: str) -> Response:
    """Keep ``position_ms``; ``kept`` is false for who wants nothing remembered."""
    sent = fields()
    position = sent.number("position_ms", _LONGEST)
    sent.check()
    kept = videos.save_position(slug, signed_in().user_id, identity.reader(), position)
    return keep_private(jsonify(kept=kept))


@bp.post("/settings/resume")
@allow(MEMBERS)
@limited("video")
def resume() -> Response:
    """Remember where the member is, or forget it all; then back to ``next``."""
    sent = fields()
    wanted, back = sent.flag("wanted"), sent.text("next", _LONGEST_NEXT, required=False)
    sent.check()
    videos.set_resume(signed_in().user_id, wanted)
    words = "Resume is on." if wanted else "Resume is off. Your saved positions were removed."
    return keep_private(done(words, safe_next(back) or "/video/"))
