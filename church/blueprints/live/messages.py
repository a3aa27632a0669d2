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
from church.web.forms import read_fields
from church.web.rate_limits import limited
from church.web.responses import require_account, respond_done, to_json_data
from church.web.route_access import MEMBERS, allow

_NUMBER = "<int(max=9223372036854775807):number>"
_MOST = 2 * chat.MAX_MESSAGE_LENGTH  # characters that are read from a form; the service checks the real limit
_MOST_REASON = 2 * chat.MAX_REASON_LENGTH
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
                return _page(room, number, error, read_fields().text(field, _MOST, required=False))

        return guarded

    return decorate


@bp.get(f"/live/<room>/{_NUMBER}")
@allow(MEMBERS)
@limited("page")
def message(room: str, number: int) -> AnyResponse:
    """Show a message with the forms that the member may use; the query's ``do`` opens one of them."""
    return _page(room, number)


@bp.post(f"/live/<room>/{_NUMBER}/edit")
@allow(MEMBERS)
@limited("account")
@_show_form_errors("message")
@telemetry.never_quote_body
def edit(room: str, number: int) -> AnyResponse:
    """Replace the text by ``message``; only its author may."""
    form = read_fields()
    text = form.text("message", _MOST, required=False)
    form.check()
    edited = chat.edit_message(require_account(), room, number, text)
    return jsonify(to_json_data(edited)) if wants_json() else respond_done("Message saved.", _room_url(room, number))


@bp.post(f"/live/<room>/{_NUMBER}/delete")
@allow(MEMBERS)
@limited("account")
def delete(room: str, number: int) -> AnyResponse:
    """Delete a message; its author and admins may."""
    device = Device(address=request.remote_addr or "unknown", user_agent=request.user_agent.string)
    chat.delete_message(require_account(), room, number, device)
    return respond_done("Message deleted.", f"/live/{room}")


@bp.post(f"/live/<room>/{_NUMBER}/report")
@allow(MEMBERS)
@limited("account")
@_show_form_errors("reason")
@telemetry.never_quote_body
def report(room: str, number: int) -> AnyResponse:
    """Report a message to the admins; ``reason`` is optional."""
    form = read_fields()
    reason = form.text("reason", _MOST_REASON, required=False)
    form.check()
    chat.report_message(require_account(), room, number, reason)
    return respond_done("Report sent. An admin will review it.", _room_url(room, number))


def _room_url(room: str, number: int) -> str:
    return f"/live/{room}#m{number}"


def _page(room: str, number: int, error: ChurchError | None = None, text: str | None = None) -> Response:
    member = require_account()
    view = chat.load_message(member, room, number)
    if wants_json():
        return jsonify(message_data(view, member))
    errors = error.errors if isinstance(error, FieldErrors) else {}
    problem = None if errors or error is None else str(error)
    opened = request.args.get("do", "") if error is None else ""
    context = {"errors": errors, "problem": problem, "text": text, "opened": opened}
    most = {"most": chat.MAX_MESSAGE_LENGTH, "reason_most": chat.MAX_REASON_LENGTH}
    room_view = chat.load_open_room(member, room)
    response = make_response(render_template("live/message.html", room=room_view, spoken=view, **context, **most))
    response.status_code = error.status if error is not None else 200
    if error is not None and error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def message_data(message: MessageView, reader: SignedIn) -> Any:
    """Return a message as JSON data, with its client_id only for its author."""
    return to_json_data(message if message.from_ref == reader.ref else replace(message, client_id=None))
