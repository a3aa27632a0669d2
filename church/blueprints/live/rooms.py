"""The way in, a room with what was said in it, and speaking there without a script."""

from __future__ import annotations

import secrets
from typing import Any

from flask import Response, jsonify, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from church import telemetry
from church.blueprints.live.blueprint import bp
from church.blueprints.live.messages import as_told
from church.config import current_settings
from church.errors import ChurchError, FieldErrors, InvalidError
from church.services import chat
from church.web.error_pages import wants_json
from church.web.forms import fields
from church.web.identity import known_viewer
from church.web.rate_limits import limited
from church.web.responses import as_data, signed_in
from church.web.route_access import EVERYONE, MEMBERS, allow

_MOST = 2 * chat.LONGEST  # characters that are read of a message; what is taken, the service says
_MOST_DIGITS = 18  # any number of so many fits a column


@bp.get("/live")
@allow(EVERYONE)
@limited("page")
def rooms() -> AnyResponse:
    """What it is, and the way in; members go on to their first room."""
    found = known_viewer()
    own = chat.list_rooms(found) if found is not None and found.is_member else []
    if wants_json():
        return jsonify(rooms=as_data(own))
    if own:
        return redirect(f"/live/{own[0].name}", 302)
    member = found is not None and found.is_member
    return make_response(render_template("live/welcome.html", days=current_settings().live_keep_days, shut=member))


@bp.get("/live/<room>")
@allow(MEMBERS)
@limited("page")
def room(room: str) -> Response:
    """The newest messages of a room, or those ``before`` a number."""
    return _shown(room, before=_before())


@bp.post("/live/<room>")
@allow(MEMBERS)
@limited("account")
@telemetry.confide_body
def say(room: str) -> AnyResponse:
    """Say ``message``. ``client_id`` is the form's own name for it: sent twice, it is said once."""
    form = fields()
    text = form.text("message", _MOST, required=False)
    name = form.text("client_id", 64, required=False) or None
    try:
        form.check()
        said = chat.post(signed_in(), room, text, name)
    except (FieldErrors, chat.RateLimitedError, chat.MutedError) as error:
        if wants_json():
            raise
        return _shown(room, text=text, error=error, client_id=name)
    if wants_json():
        return make_response(jsonify(as_data(said)), 201)
    return redirect(f"/live/{room}#m{said.id}", 303)


def _shown(
    room: str,
    before: int | None = None,
    text: str = "",
    error: ChurchError | None = None,
    client_id: str | None = None,
) -> Response:
    """The page of a room; what could not be said stands in the form again, with the reason."""
    member = signed_in()
    found = chat.page(member, room, before)
    older = found.messages[0].id if found.has_older else None
    if wants_json():
        messages = [as_told(one, member) for one in found.messages]
        return jsonify(room=as_data(found.room), messages=messages, cursor=found.cursor, older=older)
    context: dict[str, Any] = {
        "room": found.room,
        "rooms": chat.list_rooms(member),
        "messages": found.messages,
        "cursor": found.cursor,
        "older": older,
        "is_now": before is None,
        "text": text,
        "problem": _words(error),
        "client_id": client_id or secrets.token_hex(16),
        "most": chat.LONGEST,
        "days": current_settings().live_keep_days,
    }
    response = make_response(render_template("live/room.html", **context))
    if error is not None:
        response.status_code = error.status
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(error.retry_after)
    return response


def _words(error: ChurchError | None) -> str:
    """What is wrong, as the form says it; empty while nothing is."""
    if isinstance(error, FieldErrors):
        return " ".join(error.errors.values())
    if error is None or error.retry_after is None:
        return str(error or "")
    return f"Too many messages. Send it again in {error.retry_after} seconds."


def _before() -> int | None:
    """The number that is asked for, None for the newest. Raises InvalidError."""
    asked = request.args.get("before", "")
    if not asked:
        return None
    if not (asked.isascii() and asked.isdecimal() and len(asked) <= _MOST_DIGITS):
        raise InvalidError("“before” must be a message number.")
    return int(asked)
