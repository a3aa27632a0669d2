"""What belongs to the member: taking all of it along, and deleting the account."""

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
    """All that the site keeps about the member, as a file. It is put together, and noted, only where it is read."""
    found = signed_in()
    response = jsonify(accounts.export_account(found, device()) if request.method == "GET" else {})
    response.headers["Content-Disposition"] = f'attachment; filename="account-{found.ref}.json"'
    return response


@bp.get("/delete")
@allow(SIGNED_IN)
@limited("page")
def delete_form() -> Response:
    """Says what will be gone, and asks for the password."""
    return _show()


@bp.post("/delete")
@allow(SIGNED_IN)
@limited("account")
@shown_again(_show)
def delete() -> AnyResponse:
    """Empty the account for good."""
    with parsed() as form:
        password = form.text("password", PASSWORD_MOST)
    member = signed_in()
    with asked_again(member):
        accounts.delete(member, password, device())
    identity.end()
    return done("Your account is deleted.", "/")
