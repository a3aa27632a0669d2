"""Export the member's data, and delete the account."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request
from werkzeug.wrappers import Response as AnyResponse

from church.blueprints.auth.blueprint import bp
from church.blueprints.auth.form_answers import PASSWORD_MOST, device, page, parsed, shown_again
from church.blueprints.auth.sign_in_limits import asked_again
from church.services import accounts
from church.web import identity
from church.web.rate_limits import limited
from church.web.responses import done, signed_in
from church.web.route_access import SIGNED_IN, allow


def _show(**context: Any) -> Response:
    return page("auth/delete.html", **context)


@bp.get("/export")
@allow(SIGNED_IN)
@limited("account")
def export() -> Response:
    """Download all data about the member. A HEAD request collects nothing and writes no audit entry."""
    member = signed_in()
    response = jsonify(accounts.export_account(member, device()) if request.method == "GET" else {})
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
@shown_again(_show)
def delete() -> AnyResponse:
    """Delete the account permanently."""
    with parsed() as form:
        password = form.text("password", PASSWORD_MOST)
    member = signed_in()
    with asked_again(member):
        accounts.delete(member, password, device())
    identity.end()
    return done("Your account is deleted.", "/")
