"""The account page, with changes of name and password."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify
from werkzeug.wrappers import Response as AnyResponse

from church.blueprints.auth.blueprint import bp
from church.blueprints.auth.form_answers import ACCOUNT, PASSWORD_MOST, device, page, parsed, shown_again
from church.blueprints.auth.sign_in_limits import asked_again
from church.services import accounts, billing, sessions
from church.web import headers, identity
from church.web.error_pages import wants_json
from church.web.rate_limits import limited
from church.web.responses import as_data, done, signed_in
from church.web.route_access import SIGNED_IN, allow


def show_account(section: str = "", **context: Any) -> Response:
    """Render the page; ``section`` is the part whose form is shown again with errors."""
    member = signed_in()
    profile = accounts.read_profile(member.user_id)
    devices = sessions.list_devices(member.user_id, member.session_id)
    headers.forms_lead_to(billing.payment_origins())
    data = {"profile": profile, "devices": devices, "membership": billing.status_of(member.user_id)}
    return page("auth/account.html", section=section, **data, **context)


def _show_name(**context: Any) -> Response:
    return show_account("profile", **context)


def _show_password(**context: Any) -> Response:
    return show_account("password", **context)


@bp.get("/account")
@allow(SIGNED_IN)
@limited("page")
def account() -> Response:
    """Show the account page; JSON gets the profile."""
    if wants_json():
        return jsonify(as_data(accounts.read_profile(signed_in().user_id)))
    return show_account()


@bp.post("/account")
@allow(SIGNED_IN)
@limited("account")
@shown_again(_show_name, "name")
def rename() -> AnyResponse:
    """Change the name."""
    with parsed() as form:
        name = form.text("name")
    accounts.rename(signed_in(), name, device())
    identity.renew()
    return done("Name changed.", ACCOUNT)


@bp.post("/account/password")
@allow(SIGNED_IN)
@limited("account")
@shown_again(_show_password)
def change_password() -> AnyResponse:
    """Change the password, after checking the current one; other devices are signed out."""
    with parsed() as form:
        current, new = form.text("current", PASSWORD_MOST), form.text("password", PASSWORD_MOST)
    member = signed_in()
    with asked_again(member):
        identity.begin(accounts.change_password(member, current, new, device()))
    return done("Password changed. Your other devices are signed out.", ACCOUNT)
