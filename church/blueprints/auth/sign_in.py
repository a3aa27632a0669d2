"""Signing in and out, and the short token that programs and the live page show instead of the cookie."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from church import telemetry
from church.blueprints.auth.blueprint import bp
from church.blueprints.auth.form_answers import PASSWORD_MOST, device, page, parsed, shown_again, way_on
from church.blueprints.auth.sign_in_limits import gate_of
from church.services import accounts, member_tokens
from church.web import identity
from church.web.error_pages import wants_json
from church.web.forms import safe_next
from church.web.rate_limits import limited
from church.web.responses import done, signed_in
from church.web.route_access import EVERYONE, MEMBERS, allow

_OUTCOMES = {200: "success", 303: "failed_credentials", 401: "failed_credentials", 403: "failed_credentials"}


def _show(**context: Any) -> Response:
    return page("auth/login.html", **context)


@bp.get("/login")
@allow(EVERYONE)
@limited("page")
def login_form() -> AnyResponse:
    """The form; who is signed in goes on."""
    asked = request.args.get("next", "")
    if identity.viewer() is not None:
        return redirect(way_on(asked))
    return _show(values={"next": safe_next(asked) or ""})


@bp.post("/login")
@allow(EVERYONE)
@limited("login")
@shown_again(_show, "email", "next")
def login() -> AnyResponse:
    """Sign this browser in. A wrong password and an address without an account are answered the same."""
    with parsed("login") as form:
        email, password = form.text("email"), form.text("password", PASSWORD_MOST)
        to = way_on(form.text("next", 2000, required=False))
    former = identity.viewer()
    found = accounts.sign_in_with_password(email, password, device(), gate_of(email))
    identity.begin(found.token)
    if former is not None:
        accounts.end_device(former, former.session_ref, device())  # the cookie that named it is gone
    if wants_json():
        return jsonify(ref=found.user_ref, next=to)
    return redirect(to, 303)


@bp.post("/logout")
@allow(EVERYONE)
@limited("account")
def logout() -> AnyResponse:
    """Sign this browser out; no copy of its cookie opens anything after."""
    found = identity.known_viewer()
    if found is not None:
        accounts.sign_out(found, device())
    identity.end()
    return done("You are signed out.", "/")


@bp.post("/token")
@allow(MEMBERS)
@limited("token")
def token() -> Response:
    """A token for the API and the live page; it dies with this sign-in, and in minutes anyway."""
    made = member_tokens.issue(signed_in())
    left = member_tokens.LIFETIME
    return jsonify(token=made.token, token_type="Bearer", expires_in=left, expires_at=made.expires_at.isoformat())  # noqa: S106


@bp.after_request
def _tell_of_token(response: Response) -> Response:
    """A policy refuses before the view is asked, so what came of it is told by the answer; of a limit, by the limit."""
    if request.endpoint == "auth.token":
        status = response.status_code
        outcome = _OUTCOMES.get(status) or ("failed_error" if status >= 500 else None)
        found = identity.viewer()
        if outcome is not None:
            telemetry.track_auth_attempt("token", outcome, **({"user_ref": found.ref} if found else {}))
    return response
