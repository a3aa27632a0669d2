"""What people without access to a chat room see: a card with what it is and how to get in, instead of a bare error."""

from __future__ import annotations

from flask import Response, make_response, render_template, request

from church.blueprints.live.blueprint import bp
from church.errors import ChurchError, UnavailableError
from church.services import chat
from church.services.access import Access
from church.services.chat import ClosedRoomError
from church.web.error_pages import error_response, wants_json
from church.web.identity import viewer
from church.web.route_access import SignInError, UnconfirmedError, answer_signed_out


@bp.errorhandler(SignInError)
def _offer_to_visitor(error: SignInError) -> Response:
    """Offer a premium room. For other rooms the sign-in page says enough."""
    return _show_card(Access.PREMIUM) or answer_signed_out(error)


@bp.errorhandler(UnconfirmedError)
@bp.errorhandler(ClosedRoomError)
def _offer_to_account(error: ChurchError) -> Response:
    return _show_card(Access.MEMBERS, Access.PREMIUM) or error_response(error.status, error.detail)


def _show_card(*levels: Access) -> Response | None:
    """The card of the room, with 403; None for programs, and for a room that is not of ``levels``."""
    name = (request.view_args or {}).get("room")
    if name is None or wants_json() or "Authorization" in request.headers:
        return None
    try:
        room = chat.find_offered_room(name)
    except UnavailableError as down:
        return error_response(down.status, down.detail, down.retry_after)
    if room is None or room.access not in levels:
        return None
    response = make_response(render_template("live/closed.html", room=room, person=viewer()))
    response.status_code = 403
    return response
