"""The link in the mail that proves an address: any browser that opens it can confirm, with one press."""

from __future__ import annotations

from urllib.parse import quote

from flask import jsonify, request, session
from werkzeug.wrappers import Response as AnyResponse

from church.blueprints.auth.blueprint import bp
from church.blueprints.auth.form_answers import ACCOUNT, LOGIN, bad_link, page, parsed, sent
from church.services import accounts
from church.services.email_links import LinkError
from church.web import identity
from church.web.error_pages import wants_json
from church.web.forms import safe_next
from church.web.rate_limits import limited
from church.web.responses import actor, done, signed_in
from church.web.route_access import EVERYONE, SIGNED_IN, allow


@bp.get("/verify/<token>")
@allow(EVERYONE)
@limited("page")
def verify_form(token: str) -> AnyResponse:
    """Asks for the press of a button: programs that look through mails open links too.

    The browser that registered needs none, unless it only looks ahead.
    """
    waiting = accounts.awaiting(token)
    if waiting is None:
        return bad_link("auth/verify.html", token)
    if request.method == "GET" and session.get("registered") == waiting and not _looks_ahead():
        return _verify(token)
    if wants_json():
        return jsonify(state="ask")
    return page("auth/verify.html", token=token, state="ask")


@bp.post("/verify/<token>")
@allow(EVERYONE)
@limited("link")
def verify(token: str) -> AnyResponse:
    """Confirm."""
    return _verify(token)


@bp.post("/verify")
@allow(EVERYONE)
@limited("link")
def verify_token() -> AnyResponse:
    """Confirm, with the token in the body."""
    with parsed() as form:
        token = form.text("token")
    return _verify(token)


@bp.post("/verify/resend")
@allow(SIGNED_IN)
@limited("link")
def resend() -> AnyResponse:
    """Mail the link once more."""
    accounts.send_verification(signed_in().user_id)
    return sent("verification", "If your address is not confirmed yet, we sent you a new email.")


def _verify(token: str) -> AnyResponse:
    try:
        ref = accounts.verify(token, actor())
    except LinkError:
        return bad_link("auth/verify.html", token)
    if session.get("registered") == ref:
        session.pop("registered")
    goal = safe_next(session.pop("next", ""))
    if identity.viewer() is None:
        to = f"{LOGIN}?next={quote(goal)}" if goal else LOGIN
        return done("Email address confirmed. Sign in to continue.", to)
    identity.renew()
    return done("Email address confirmed. You are now a member.", goal or ACCOUNT)


def _looks_ahead() -> bool:
    """Whether the browser fetches what nobody has asked to see yet (https://fetch.spec.whatwg.org, Sec-Purpose)."""
    purpose = request.headers.get("Sec-Purpose") or request.headers.get("Purpose") or ""
    return "prefetch" in purpose.lower() or "preview" in purpose.lower()
