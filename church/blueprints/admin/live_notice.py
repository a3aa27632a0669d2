"""A word to everybody who has a live page open."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, url_for

from church.access import ADMINS, allow
from church.answers import actor, done
from church.blueprints.admin.area import answer, bp
from church.errors import FieldErrors, wants_json
from church.forms import fields
from church.limits import limited
from church.services import notices

_AUDIENCES = (
    ("members", "members"),
    ("all", "whoever is signed in"),
    ("admins", "admins"),
)


@bp.get("/live/notice")
@allow(ADMINS)
@limited("page")
def live_notice() -> Response:
    """The form."""
    return _shown({}, {})


@bp.post("/live/notice")
@allow(ADMINS)
@limited("account")
def live_notify() -> Response:
    """Send it."""
    sent = fields()
    title, url = sent.text("title", 2 * notices.LONGEST), sent.text("url", 2 * notices.LONGEST, required=False)
    audience = sent.text("audience", 16)
    try:
        sent.check()
        notices.from_admin(title, url, audience, actor())
    except FieldErrors as error:
        if wants_json():
            raise
        return _shown(sent.shown("title", "url", "audience"), error.errors, error.status)
    return done("The notice is sent.", url_for("admin.live_notice"))


def _shown(values: Mapping[str, str], errors: Mapping[str, str], status: int = 200) -> Response:
    data = {"audiences": [name for name, _ in _AUDIENCES]}
    return answer(
        "admin/live_notice.html", data, status, values=values, errors=errors, options=_AUDIENCES, most=notices.LONGEST
    )  # fmt: skip
