"""Create the first admin with the link that the console prints on a site without one, and sign them in."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify
from werkzeug.wrappers import Response as AnyResponse

from church.blueprints.auth.blueprint import bp
from church.blueprints.auth.form_answers import read_form, render_form, request_device, show_again_on_error
from church.services import accounts, email_links
from church.services.accounts import MAX_PASSWORD_LENGTH
from church.services.email_links import LinkError, Purpose
from church.web import identity
from church.web.error_pages import wants_json
from church.web.rate_limits import limited
from church.web.responses import respond_done
from church.web.route_access import EVERYONE, allow

_ADMIN_AREA = "/admin/"


def _show(**context: Any) -> Response:
    return render_form("auth/first_admin.html", **context)


@bp.get("/first-admin/<token>")
@allow(EVERYONE)
@limited("page")
def first_admin_form(token: str) -> Response:
    """Ask for the admin's name, address and password. Raises LinkError."""
    if email_links.peek(token, Purpose.FIRST_ADMIN) is None:
        raise LinkError
    return jsonify(state="ask") if wants_json() else _show(token=token)


@bp.post("/first-admin/<token>")
@allow(EVERYONE)
@limited("register")
@show_again_on_error(_show, "name", "email")
def first_admin(token: str) -> AnyResponse:
    """Create the admin account and open the admin area. Raises LinkError, also if someone else was faster."""
    with read_form("registration") as form:
        email, name = form.text("email"), form.text("name", required=False)
        password = form.text("password", MAX_PASSWORD_LENGTH)
    result = accounts.create_first_admin(token, email, password, name, request_device())
    identity.start_browser_session(result.token)
    return respond_done("Admin account created. You are signed in.", _ADMIN_AREA)
