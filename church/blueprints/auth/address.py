"""Change the email address: ask for it with the password, confirm it with an emailed link."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify
from werkzeug.wrappers import Response as AnyResponse

from church.blueprints.auth.account import show_account
from church.blueprints.auth.blueprint import bp
from church.blueprints.auth.form_answers import (
    ACCOUNT,
    bad_link_page,
    email_sent_response,
    read_form,
    render_form,
    request_device,
    show_again_on_error,
)
from church.blueprints.auth.sign_in_limits import limit_password_checks
from church.services import accounts, email_links
from church.services.accounts import MAX_PASSWORD_LENGTH
from church.services.email_links import LinkError, Purpose
from church.web import identity
from church.web.error_pages import wants_json
from church.web.rate_limits import limited
from church.web.responses import require_account, respond_done
from church.web.route_access import EVERYONE, SIGNED_IN, allow


def _show_email_form(**context: Any) -> Response:
    return show_account("email", **context)


@bp.post("/account/email")
@allow(SIGNED_IN)
@limited("account")
@show_again_on_error(_show_email_form, "email")
def change_email() -> AnyResponse:
    """Email a link to the new address; the old one stays until the link is used."""
    with read_form() as form:
        current, email = form.text("current", MAX_PASSWORD_LENGTH), form.text("email")
    member = require_account()
    with limit_password_checks(member):
        accounts.request_email_change(member, current, email, request_device())
    return email_sent_response(
        "email", "We sent an email to your new address. Open the link in it to confirm the change."
    )


@bp.get("/email/<token>")
@allow(EVERYONE)
@limited("page")
def email_form(token: str) -> AnyResponse:
    """Show the button that confirms the change, in any browser."""
    if email_links.peek(token, Purpose.CHANGE_EMAIL) is None:
        return bad_link_page("auth/email.html", token)
    return jsonify(state="ask") if wants_json() else render_form("auth/email.html", token=token, state="ask")


@bp.post("/email/<token>")
@allow(EVERYONE)
@limited("link")
def confirm_email(token: str) -> AnyResponse:
    """Replace the old address by the new one."""
    try:
        accounts.confirm_email(token, request_device())
    except LinkError:
        return bad_link_page("auth/email.html", token)
    if identity.viewer() is not None:
        identity.refresh_viewer()
    return respond_done("Email address changed. Use it to sign in from now on.", ACCOUNT)
