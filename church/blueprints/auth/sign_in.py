"""Sign in and out, and issue access tokens for programs and the live page."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, redirect, request, session
from werkzeug.wrappers import Response as AnyResponse

from church import telemetry
from church.blueprints.auth.blueprint import bp
from church.blueprints.auth.form_answers import (
    ACCOUNT,
    next_page,
    read_form,
    render_form,
    request_device,
    show_again_on_error,
)
from church.blueprints.auth.sign_in_limits import login_gate_for
from church.services import accounts, member_tokens
from church.services.accounts import MAX_PASSWORD_LENGTH
from church.web import identity
from church.web.error_pages import wants_json
from church.web.forms import safe_next
from church.web.rate_limits import limited
from church.web.responses import require_account, respond_done
from church.web.route_access import EVERYONE, MEMBERS, allow

WAY_IN = frozenset({"auth.login_form", "auth.login", "auth.logout"})
"""Endpoints that stay open during maintenance, so that an admin can get in and end it."""

_OUTCOMES = {200: "success", 303: "failed_credentials", 401: "failed_credentials", 403: "failed_credentials"}


def _show(**context: Any) -> Response:
    return render_form("auth/login.html", **context)


@bp.get("/login")
@allow(EVERYONE)
@limited("page")
def login_form() -> AnyResponse:
    """Show the form; signed-in members are sent on."""
    target = request.args.get("next", "")
    if identity.viewer() is not None:
        return redirect(next_page(target))
    return _show(values={"next": safe_next(target) or ""})


@bp.post("/login")
@allow(EVERYONE)
@limited("login")
@show_again_on_error(_show, "email", "next")
def login() -> AnyResponse:
    """Sign this browser in. A wrong password and an unknown address get the same answer."""
    with read_form("login") as form:
        email, password = form.text("email"), form.text("password", MAX_PASSWORD_LENGTH)
        wanted = safe_next(form.text("next", 2000, required=False)) or safe_next(identity.remembered_page())
    former, registered = identity.viewer(), session.get("registered")
    result = accounts.sign_in_with_password(email, password, request_device(), login_gate_for(email))
    identity.start_browser_session(result.token)
    _remember_until_confirmed(wanted, registered)
    if former is not None:
        accounts.end_device(former, former.session_ref, request_device())  # its cookie has just been replaced
    to = wanted or ACCOUNT
    if wants_json():
        return jsonify(ref=result.user_ref, next=to)
    return redirect(to, 303)


def _remember_until_confirmed(wanted: str | None, registered: Any) -> None:
    """Keep, in the new session, where an account without a confirmed address goes once it is confirmed."""
    member = identity.viewer()
    if member is None or member.is_member:
        return
    identity.remember_page(wanted or "")
    if registered == member.ref:
        session["registered"] = registered


@bp.post("/logout")
@allow(EVERYONE)
@limited("account")
def logout() -> AnyResponse:
    """Sign this browser out; copies of its cookie stop working too."""
    member = identity.viewer_or_unavailable()
    if member is not None:
        accounts.sign_out(member, request_device())
    identity.end_browser_session()
    return respond_done("You are signed out.", "/")


@bp.post("/token")
@allow(MEMBERS)
@limited("token")
def token() -> Response:
    """Issue a token for the API and the live page; it ends with this session, after ten minutes at the latest."""
    access_token = member_tokens.issue_token(require_account())
    return jsonify(
        token=access_token.token,
        token_type="Bearer",  # noqa: S106 - no secret
        expires_in=member_tokens.LIFETIME,
        expires_at=access_token.expires_at.isoformat(),
    )


@bp.after_request
def _record_token_attempt(response: Response) -> Response:
    """Record the result from the response: the access rule may refuse before the view runs. A limit records its own."""
    if request.endpoint == "auth.token":
        status = response.status_code
        outcome = _OUTCOMES.get(status) or ("failed_error" if status >= 500 else None)
        member = identity.viewer()
        if outcome is not None:
            telemetry.track_auth_attempt("token", outcome, **({"user_ref": member.ref} if member else {}))
    return response
