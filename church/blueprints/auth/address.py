"""Change the email address: ask for it with the password, confirm it with an emailed link."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify
from werkzeug.wrappers import Response as AnyResponse

from church.blueprints.auth.account import show_account
from church.blueprints.auth.blueprint import bp
from church.blueprints.auth.form_answers import (
    ACCOUNT,
    PASSWORD_MOST,
    bad_link,
    device,
    page,
    parsed,
    sent,
    shown_again,
)
from church.blueprints.auth.sign_in_limits import asked_again
from church.services import accounts, email_links
from church.services.email_links import LinkError, Purpose
from church.web import identity
from church.web.error_pages import wants_json
from church.web.rate_limits import limited
from church.web.responses import done, signed_in
from church.web.route_access import EVERYONE, SIGNED_IN, allow


def _show_email_form(**context: Any) -> Response:
    return show_account("email", **context)


@bp.post("/account/email")
@allow(SIGNED_IN)
@limited("account")
@shown_again(_show_email_form, "email")
def change_email() -> AnyResponse:
    """Email a link to the new address; the old one stays until the link is used."""
    with parsed() as form:
        current, email = form.text("current", PASSWORD_MOST), form.text("email")
    member = signed_in()
    with asked_again(member):
        accounts.ask_email_change(member, current, email, device())
    return sent("email", "We sent an email to your new address. Open the link in it to confirm the change.")


@bp.get("/email/<token>")
@allow(EVERYONE)
@limited("page")
def email_form(token: str) -> AnyResponse:
    """Show the button that confirms the change, in any browser."""
    if email_links.peek(token, Purpose.CHANGE_EMAIL) is None:
        return bad_link("auth/email.html", token)
    return jsonify(state="ask") if wants_json() else page("auth/email.html", token=token, state="ask")


@bp.post("/email/<token>")
@allow(EVERYONE)
@limited("link")
def confirm_email(token: str) -> AnyResponse:
    """Replace the old address by the new one."""
    try:
        accounts.confirm_email(token, device())
    except LinkError:
        return bad_link("auth/email.html", token)
    if identity.viewer() is not None:
        identity.renew()
    return done("Email address changed. Use it to sign in from now on.", ACCOUNT)
