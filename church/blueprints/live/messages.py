"""The page of one message: its author edits or deletes it, others report it. Programs use the same addresses."""

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
_MOST = 2 * chat.LONGEST  # characters that are read from a form; the service checks the real limit
_MOST_REASON = 2 * chat.LONGEST_REASON
_View = Callable[[str, int], AnyResponse]


def _show_form_errors(field: str) -> Callable[[_View], _View]:
    """After an error of the form, show the page again with the text of ``field`` and the error."""

    def decorate(view: _View) -> _View:
        @functools.wraps(view)
        def guarded(room: str, number: int) -> AnyResponse:
            try:
                return view(room, number)
            except (FieldErrors, chat.RateLimitedError, chat.MutedError) as error:
                if wants_json():
                    raise
                return _page(room, number, error, fields().text(field, _MOST, required=False))

        return guarded

    return decorate


@bp.get(f"/live/<room>/{_NUMBER}")
@allow(MEMBERS)
@limited("page")
def message(room: str, number: int) -> AnyResponse:
    """Show a message with the forms that the member may use."""
    return _page(room, number)


@bp.post(f"/live/<room>/{_NUMBER}/edit")
@allow(MEMBERS)
@limited("account")
@_show_form_errors("message")
@telemetry.confide_body
def edit(room: str, number: int) -> AnyResponse:
    """Replace the text by ``message``; only its author may."""
    form = fields()
    text = form.text("message", _MOST, required=False)
    form.check()
    edited = chat.edit(signed_in(), room, number, text)
    return jsonify(as_data(edited)) if wants_json() else done("Message saved.", _room_url(room, number))


@bp.post(f"/live/<room>/{_NUMBER}/delete")
@allow(MEMBERS)
@limited("account")
def delete(room: str, number: int) -> AnyResponse:
    """Delete a message; its author and admins may."""
    device = Device(address=request.remote_addr or "unknown", user_agent=request.user_agent.string)
    chat.delete(signed_in(), room, number, device)
    return done("Message deleted.", f"/live/{room}")


@bp.post(f"/live/<room>/{_NUMBER}/report")
@allow(MEMBERS)
@limited("account")
@_show_form_errors("reason")
@telemetry.confide_body
def report(room: str, number: int) -> AnyResponse:
    """Report a message to the admins; ``reason`` is optional."""
    form = fields()
    reason = form.text("reason", _MOST_REASON, required=False)
    form.check()
    chat.report(signed_in(), room, number, reason)
    return done("Report sent. An admin will review it.", _room_url(room, number))


def _room_url(room: str, number: int) -> str:
    return f"/live/{room}#m{number}"


def _page(room: str, number: int, error: ChurchError | None = None, text: str | None = None) -> Response:
    member = signed_in()
    view = chat.message(member, room, number)
    if wants_json():
        return jsonify(message_data(view, member))
    errors = error.errors if isinstance(error, FieldErrors) else {}
    problem = None if errors or error is None else str(error)
    context = {"errors": errors, "problem": problem, "text": text}
    most = {"most": chat.LONGEST, "reason_most": chat.LONGEST_REASON}
    room_view = chat.may_enter(member, room)
    response = make_response(render_template("live/message.html", room=room_view, spoken=view, **context, **most))
    response.status_code = error.status if error is not None else 200
    if error is not None and error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def message_data(message: MessageView, reader: SignedIn) -> Any:
    """Return a message as JSON data, with its client_id only for its author."""
    return as_data(message if message.from_ref == reader.ref else replace(message, client_id=None))
