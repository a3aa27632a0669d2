"""List the signed-in devices, and sign out one or all of them."""

from __future__ import annotations

from flask import jsonify, redirect
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from church.blueprints.auth.blueprint import bp
from church.blueprints.auth.form_answers import ACCOUNT, LOGIN, read_form, request_device
from church.services import accounts, sessions
from church.web import identity
from church.web.error_pages import wants_json
from church.web.rate_limits import limited
from church.web.responses import require_account, respond_done, to_json_data
from church.web.route_access import SIGNED_IN, allow


@bp.get("/sessions")
@allow(SIGNED_IN)
@limited("page")
def list_sessions() -> AnyResponse:
    """List the devices as JSON; browsers are sent to the account page."""
    if not wants_json():
        return redirect(f"{ACCOUNT}#devices")
    member = require_account()
    return jsonify(sessions=[to_json_data(view) for view in sessions.list_devices(member.user_id, member.session_id)])


@bp.post("/sessions/<ref>/end")
@allow(SIGNED_IN)
@limited("account")
def end_session(ref: str) -> AnyResponse:
    """Sign out one of the member's own devices; 404 for any other."""
    member = require_account()
    if not accounts.end_device(member, ref, request_device()):
        raise NotFound
    if ref != member.session_ref:
        return respond_done("That device is signed out.", ACCOUNT)
    identity.end_browser_session()
    return respond_done("This device is signed out.", LOGIN)


@bp.post("/sessions/end")
@allow(SIGNED_IN)
@limited("account")
def end_sessions() -> AnyResponse:
    """Sign out all other devices; with ``all`` this one too."""
    with read_form() as form:
        this_too = form.flag("all")
    accounts.end_devices(require_account(), request_device(), this_too=this_too)
    if not this_too:
        return respond_done("All other devices are signed out.", ACCOUNT)
    identity.end_browser_session()
    return respond_done("All devices are signed out.", LOGIN)
