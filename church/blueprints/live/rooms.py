"""The pages of the chat rooms, and the form that sends a message without JavaScript."""

from __future__ import annotations

import secrets
from typing import Any

from flask import Response, jsonify, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from church import telemetry
from church.blueprints.live.blueprint import bp
from church.blueprints.live.messages import message_data
from church.config import current_settings
from church.errors import ChurchError, FieldErrors, InvalidError
from church.extensions import db
from church.services import chat
from church.web.error_pages import wants_json
from church.web.forms import read_fields
from church.web.identity import viewer_or_unavailable
from church.web.rate_limits import limited
from church.web.responses import require_account, to_json_data
from church.web.route_access import EVERYONE, MEMBERS, allow

_MOST = 2 * chat.MAX_MESSAGE_LENGTH  # characters that are read from a form; the service checks the real limit
_MOST_DIGITS = 18  # any number of this length fits a database column


@bp.get("/live")
@allow(EVERYONE)
@limited("page")
def list_rooms() -> AnyResponse:
    """Redirect members to their first room; show others what live chat is."""
    viewer = viewer_or_unavailable()
    own = chat.list_rooms(viewer) if viewer is not None and viewer.is_member else []
    if wants_json():
        return jsonify(rooms=to_json_data(own))
    if own:
        return redirect(f"/live/{own[0].name}", 302)
    member = viewer is not None and viewer.is_member
    return make_response(render_template("live/welcome.html", days=current_settings().live_keep_days, shut=member))


@bp.get("/live/<room>")
@allow(MEMBERS)
@limited("page")
def room(room: str) -> Response:
    """Show the newest messages of a room, or those ``before`` a number."""
    return _page(room, before=_before())


@bp.post("/live/<room>")
@allow(MEMBERS)
@limited("account")
@telemetry.never_quote_body
def send(room: str) -> AnyResponse:
    """Send ``message`` to a room. The form's ``client_id`` makes a repeated request harmless."""
    form = read_fields()
    text = form.text("message", _MOST, required=False)
    client_id = form.text("client_id", 64, required=False) or None
    try:
        form.check()
        view = chat.post_message(require_account(), room, text, client_id)
    except (FieldErrors, chat.RateLimitedError, chat.MutedError) as error:
        if wants_json():
            raise
        return _page(room, text=text, error=error, client_id=client_id)
    if wants_json():
        return make_response(jsonify(to_json_data(view)), 201)
    return redirect(f"/live/{room}#m{view.id}", 303)


def _page(
    room: str,
    before: int | None = None,
    text: str = "",
    error: ChurchError | None = None,
    client_id: str | None = None,
) -> Response:
    """Render a room; after an error, the form keeps the text and shows the error."""
    member = require_account()
    with db.snapshot():
        page, rooms = chat.load_page(member, room, before), chat.list_rooms(member)
    older = page.messages[0].id if page.has_older else None
    if wants_json():
        messages = [message_data(view, member) for view in page.messages]
        return jsonify(room=to_json_data(page.room), messages=messages, cursor=page.cursor, older=older)
    context: dict[str, Any] = {
        "room": page.room,
        "rooms": rooms,
        "messages": page.messages,
        "cursor": page.cursor,
        "older": older,
        "is_now": before is None,
        "text": text,
        "problem": _problem(error),
        "client_id": client_id or secrets.token_hex(16),
        "most": chat.MAX_MESSAGE_LENGTH,
        "days": current_settings().live_keep_days,
    }
    response = make_response(render_template("live/room.html", **context))
    if error is not None:
        response.status_code = error.status
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(error.retry_after)
    return response


def _problem(error: ChurchError | None) -> str:
    """Return the error text for the form; empty without an error."""
    if isinstance(error, FieldErrors):
        return " ".join(error.errors.values())
    if error is None or error.retry_after is None:
        return str(error or "")
    return f"Too many messages. Send it again in {error.retry_after} seconds."


def _before() -> int | None:
    """Return the query's ``before``, or None. Raises InvalidError."""
    before = request.args.get("before", "")
    if not before:
        return None
    if not (before.isascii() and before.isdecimal() and len(before) <= _MOST_DIGITS):
        raise InvalidError("“before” must be a message number.")
    return int(before)
