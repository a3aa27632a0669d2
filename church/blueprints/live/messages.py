"""One message by itself: its author edits and deletes it there, others report it. Programs use the same addresses."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Response, jsonify, make_response, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from church import telemetry
from church.blueprints.live.blueprint import bp
from church.errors import ChurchError, FieldErrors
from church.services import chat
from church.services.chat import MessageView
from church.services.sessions import Device, SignedIn
from church.web.error_pages import wants_json
from church.web.forms import fields
from church.web.rate_limits import limited
from church.web.responses import as_data, done, signed_in
from church.web.route_access import MEMBERS, allow

_NUMBER = "<int(max=9223372036854775807):number>"
_MOST = 2 * chat.LONGEST  # characters that are read of a message; what is taken, the service says
_MOST_REASON = 2 * chat.LONGEST_REASON
_View = Callable[[str, int], AnyResponse]


def _told(field: str) -> Callable[[_View], _View]:
    """Answer a person whose form can't be taken with the form: what stood in ``field``, and what is wrong."""

    def decorate(view: _View) -> _View:
        @functools.wraps(view)
        def guarded(room: str, number: int) -> AnyResponse:
            try:
                return view(room, number)
            except (FieldErrors, chat.RateLimitedError, chat.MutedError) as error:
                if wants_json():
                    raise
                return _shown(room, number, error, fields().text(field, _MOST, required=False))

        return guarded

    return decorate


@bp.get(f"/live/<room>/{_NUMBER}")
@allow(MEMBERS)
@limited("page")
def message(room: str, number: int) -> AnyResponse:
    """The message, and what the reader can do about it."""
    return _shown(room, number)


@bp.post(f"/live/<room>/{_NUMBER}/edit")
@allow(MEMBERS)
@limited("account")
@_told("message")
@telemetry.confide_body
def edit(room: str, number: int) -> AnyResponse:
    """Say ``message`` in its place. Its author alone can."""
    form = fields()
    text = form.text("message", _MOST, required=False)
    form.check()
    said = chat.edit(signed_in(), room, number, text)
    return jsonify(as_data(said)) if wants_json() else done("Message saved.", _room(room, number))


@bp.post(f"/live/<room>/{_NUMBER}/delete")
@allow(MEMBERS)
@limited("account")
def delete(room: str, number: int) -> AnyResponse:
    """Take its text away. Its author can, and an admin."""
    device = Device(address=request.remote_addr or "unknown", user_agent=request.user_agent.string)
    chat.delete(signed_in(), room, number, device)
    return done("Message deleted.", f"/live/{room}")


@bp.post(f"/live/<room>/{_NUMBER}/report")
@allow(MEMBERS)
@limited("account")
@_told("reason")
@telemetry.confide_body
def report(room: str, number: int) -> AnyResponse:
    """Tell the admins of it, with a ``reason`` or without."""
    form = fields()
    reason = form.text("reason", _MOST_REASON, required=False)
    form.check()
    chat.report(signed_in(), room, number, reason)
    return done("Report sent. An admin will review it.", _room(room, number))


def _room(room: str, number: int) -> str:
    return f"/live/{room}#m{number}"


def _shown(room: str, number: int, error: ChurchError | None = None, text: str | None = None) -> Response:
    member = signed_in()
    said = chat.message(member, room, number)
    if wants_json():
        return jsonify(as_told(said, member))
    errors = error.errors if isinstance(error, FieldErrors) else {}
    problem = None if errors or error is None else str(error)
    context = {"errors": errors, "problem": problem, "text": text}
    most = {"most": chat.LONGEST, "reason_most": chat.LONGEST_REASON}
    found = chat.may_enter(member, room)
    response = make_response(render_template("live/message.html", room=found, spoken=said, **context, **most))
    response.status_code = error.status if error is not None else 200
    if error is not None and error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def as_told(message: MessageView, to: SignedIn) -> Any:
    """The message as JSON; what its author calls it is for the author alone."""
    return as_data(message if message.from_ref == to.ref else replace(message, client_id=None))
