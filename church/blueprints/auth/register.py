"""Register an account, and the page that asks to check the inbox."""

from __future__ import annotations

from typing import Any

from flask import Response, redirect, request, session
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from church.blueprints.auth.blueprint import bp
from church.blueprints.auth.form_answers import (
    email_sent_response,
    next_page,
    read_form,
    render_form,
    request_device,
    show_again_on_error,
)
from church.services import accounts
from church.services.accounts import MAX_PASSWORD_LENGTH
from church.web.forms import safe_next
from church.web.identity import remember_page, viewer
from church.web.rate_limits import limited
from church.web.route_access import EVERYONE, allow

_MAILS = frozenset({"register", "forgot", "verification", "email"})


def _show(**context: Any) -> Response:
    return render_form("auth/register.html", **context)


@bp.get("/register")
@allow(EVERYONE)
@limited("page")
def register_form() -> AnyResponse:
    """Show the form; signed-in members are sent on."""
    target = request.args.get("next", "")
    if viewer() is not None:
        return redirect(next_page(target))
    return _show(values={"next": safe_next(target) or ""})


@bp.post("/register")
@allow(EVERYONE)
@limited("register")
@show_again_on_error(_show, "name", "email", "next")
def register() -> AnyResponse:
    """Create an account, or email the owner of the existing one; the answer does not reveal which."""
    with read_form("registration") as form:
        email, name = form.text("email"), form.text("name", required=False)
        password = form.text("password", MAX_PASSWORD_LENGTH)
        target = safe_next(form.text("next", 2000, required=False))
    ref = accounts.register(email, password, name, request_device(), target or "")
    session["registered"] = ref  # a random ref if the address has an account: the browser can read this cookie
    remember_page(target or "")
    return email_sent_response("register", "We sent you an email. Open the link in it to confirm your address.")


@bp.get("/sent/<what>")
@allow(EVERYONE)
@limited("page")
def mail_sent(what: str) -> Response:
    """Ask to check the inbox, whether or not an email was sent."""
    if what not in _MAILS:
        raise NotFound
    return render_form("auth/sent.html", what=what)
