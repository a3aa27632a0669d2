"""Export the member's data, and delete the account."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request
from werkzeug.wrappers import Response as AnyResponse

from church.blueprints.auth.blueprint import bp
from church.blueprints.auth.form_answers import read_form, render_form, request_device, show_again_on_error
from church.blueprints.auth.sign_in_limits import limit_password_checks
from church.config import current_settings
from church.services import accounts
from church.services.accounts import MAX_PASSWORD_LENGTH
from church.web import identity
from church.web.rate_limits import limited
from church.web.responses import require_account, respond_done
from church.web.route_access import SIGNED_IN, allow


def _show(**context: Any) -> Response:
    return render_form("auth/delete.html", **context)


@bp.get("/export")
@allow(SIGNED_IN)
@limited("account")
def export() -> Response:
    """Download all data about the member. A HEAD request collects nothing and writes no audit entry."""
    member = require_account()
    response = jsonify({})
    if request.method == "GET":
        data = accounts.export_account(member, request_device())
        response = Response(accounts.stream_export(current_settings(), member.ref, data), mimetype="application/json")
    response.headers["Content-Disposition"] = f'attachment; filename="account-{member.ref}.json"'
    return response


@bp.get("/delete")
@allow(SIGNED_IN)
@limited("page")
def delete_form() -> Response:
    """Show what will be deleted, and ask for the password."""
    return _show()


@bp.post("/delete")
@allow(SIGNED_IN)
@limited("account")
@show_again_on_error(_show)
def delete() -> AnyResponse:
    """Delete the account permanently."""
    with read_form() as form:
        password = form.text("password", MAX_PASSWORD_LENGTH)
    member = require_account()
    with limit_password_checks(member):
        accounts.delete_account(member, password, request_device())
    identity.end_browser_session()
    return respond_done("Your account is deleted.", "/")
