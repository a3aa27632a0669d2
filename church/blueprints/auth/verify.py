"""Confirm an email address with the emailed link, by a button, in any browser."""

from __future__ import annotations

from urllib.parse import quote

from flask import jsonify, request, session
from werkzeug.wrappers import Response as AnyResponse

from church.blueprints.auth.blueprint import bp
from church.blueprints.auth.form_answers import (
    ACCOUNT,
    LOGIN,
    bad_link_page,
    email_sent_response,
    read_form,
    render_form,
)
from church.services import accounts
from church.services.email_links import LinkError
from church.web import identity
from church.web.error_pages import wants_json
from church.web.forms import safe_next
from church.web.rate_limits import limited
from church.web.responses import current_actor, require_account, respond_done
from church.web.route_access import EVERYONE, SIGNED_IN, allow


@bp.get("/verify/<token>")
@allow(EVERYONE)
@limited("page")
def verify_form(token: str) -> AnyResponse:
    """Show the button that confirms: programs that scan emails open links too.

    The browser that registered is confirmed without it, unless it only prefetches.
    """
    ref = accounts.account_to_verify(token)
    if ref is None:
        return bad_link_page("auth/verify.html", token)
    if request.method == "GET" and session.get("registered") == ref and not _is_prefetch():
        return _verify(token)
    if wants_json():
        return jsonify(state="ask")
    return render_form("auth/verify.html", token=token, state="ask", then=_page_of_link())


@bp.post("/verify/<token>")
@allow(EVERYONE)
@limited("link")
def verify(token: str) -> AnyResponse:
    """Confirm the address."""
    return _verify(token)


@bp.post("/verify")
@allow(EVERYONE)
@limited("link")
def verify_token() -> AnyResponse:
    """Like ``verify``, with the token in the body."""
    with read_form() as form:
        token = form.text("token")
    return _verify(token)


@bp.post("/verify/resend")
@allow(SIGNED_IN)
@limited("link")
def resend() -> AnyResponse:
    """Email the link again."""
    accounts.send_verification(require_account().user_id, safe_next(identity.remembered_page()) or "")
    return email_sent_response("verification", "If your address is not confirmed yet, we sent you a new email.")


def _verify(token: str) -> AnyResponse:
    try:
        ref = accounts.verify_address(token, current_actor())
    except LinkError:
        return bad_link_page("auth/verify.html", token)
    if session.get("registered") == ref:
        session.pop("registered")
    target = _page_of_link() or safe_next(identity.remembered_page())
    identity.forget_remembered_page()
    if identity.viewer() is None:
        to = f"{LOGIN}?next={quote(target)}" if target else LOGIN
        return respond_done("Email address confirmed. Sign in to continue.", to)
    identity.refresh_viewer()
    return respond_done("Email address confirmed. You are now a member.", target or ACCOUNT)


def _page_of_link() -> str | None:
    """The page that the account came for, which its link carries: the email may be opened in another browser."""
    return safe_next(request.args.get("next", ""))


def _is_prefetch() -> bool:
    """Whether the browser prefetches the page before it is opened (https://fetch.spec.whatwg.org, Sec-Purpose)."""
    purpose = request.headers.get("Sec-Purpose") or request.headers.get("Purpose") or ""
    return "prefetch" in purpose.lower() or "preview" in purpose.lower()
