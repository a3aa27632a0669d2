"""Reset a forgotten password: request the link, and choose a new password with it."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request
from werkzeug.wrappers import Response as AnyResponse

from church import telemetry
from church.blueprints.auth.blueprint import bp
from church.blueprints.auth.form_answers import (
    LOGIN,
    email_sent_response,
    read_form,
    render_form,
    request_device,
    show_again_on_error,
)
from church.blueprints.auth.sign_in_limits import login_gate_for
from church.services import accounts
from church.services.accounts import MAX_PASSWORD_LENGTH
from church.services.email_links import LinkError
from church.web import identity
from church.web.error_pages import wants_json
from church.web.forms import safe_next
from church.web.rate_limits import limited
from church.web.responses import respond_done
from church.web.route_access import EVERYONE, allow


def _show_forgot(**context: Any) -> Response:
    return render_form("auth/forgot.html", **context)


def _show_reset(**context: Any) -> Response:
    return render_form("auth/reset.html", email=accounts.email_for_reset(context["token"]) or "", **context)


@bp.get("/forgot")
@allow(EVERYONE)
@limited("page")
def forgot_form() -> Response:
    """Ask for the address. ``next`` is remembered, for the sign-in after the reset."""
    identity.remember_page(safe_next(request.args.get("next", "")) or "")
    return _show_forgot()


@bp.post("/forgot")
@allow(EVERYONE)
@limited("reset")
@show_again_on_error(_show_forgot, "email")
def forgot() -> AnyResponse:
    """Email the link if the address has an account; if not, the answer and the work are the same.

    This does not count as an attempt to reset yet; using the link does.
    """
    with read_form() as form:
        email = form.text("email")
    accounts.request_reset(email)
    return email_sent_response("forgot", "If this address has an account, we sent it an email with a link.")


@bp.get("/reset/<token>")
@allow(EVERYONE)
@limited("page")
def reset_form(token: str) -> AnyResponse:
    """Ask for the new password, if the link is valid."""
    if accounts.email_for_reset(token) is None:
        return _offer_new_link()
    return jsonify(state="ask") if wants_json() else _show_reset(token=token)


@bp.post("/reset/<token>")
@allow(EVERYONE)
@limited("reset")
@show_again_on_error(_show_reset)
def reset(token: str) -> AnyResponse:
    """Set the new password; every device is signed out."""
    with read_form("reset") as form:
        password = form.text("password", MAX_PASSWORD_LENGTH)
    return _reset(token, password)


@bp.post("/reset")
@allow(EVERYONE)
@limited("reset")
def reset_token() -> AnyResponse:
    """Like ``reset``, with the token in the body."""
    with read_form("reset") as form:
        token, password = form.text("token"), form.text("password", MAX_PASSWORD_LENGTH)
    return _reset(token, password)


def _reset(token: str, password: str) -> AnyResponse:
    former = identity.viewer()
    try:
        email = accounts.reset_password(token, password, request_device())
    except LinkError:
        return _offer_new_link()
    login_gate_for(email).forgive()
    identity.end_browser_session()
    if former is not None:  # signed in to another account: the sessions of this one have ended
        accounts.end_device(former, former.session_ref, request_device())
    return respond_done("Password changed. Sign in with it.", LOGIN)


@bp.after_request
def _record_throttled(response: Response) -> Response:
    """Record a refused reset here: the limit is shared with requests for a link, which are not attempts."""
    if response.status_code == 429 and request.endpoint in {"auth.reset", "auth.reset_token"}:
        telemetry.track_auth_attempt("reset", "failed_throttled")
    return response


def _offer_new_link() -> Response:
    """Show the form for a new link, with the message that this one is not valid."""
    if wants_json():
        raise LinkError
    response = _show_forgot(form_error=str(LinkError()))
    response.status_code = LinkError.status
    return response
