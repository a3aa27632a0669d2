"""The account page, with changes of name and password."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Response, jsonify
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

from church.blueprints.auth.blueprint import bp
from church.blueprints.auth.form_answers import ACCOUNT, read_form, render_form, request_device, show_again_on_error
from church.blueprints.auth.sign_in_limits import limit_password_checks
from church.extensions import db
from church.services import accounts, billing, sessions
from church.services.accounts import MAX_PASSWORD_LENGTH
from church.services.billing import MembershipStatus
from church.services.sessions import DeviceView
from church.web import headers, identity
from church.web.error_pages import wants_json
from church.web.kept_pages import answer_page, render_part
from church.web.rate_limits import limited
from church.web.responses import require_account, respond_done, to_json_data
from church.web.route_access import SIGNED_IN, allow
from church.web.times import show_day, show_moment


def show_account(section: str = "", **context: Any) -> Response:
    """Render the page; ``section`` is the part whose form is shown again with errors."""
    member = require_account()
    with db.snapshot():
        profile = accounts.read_profile(member.user_id)
        devices = sessions.list_devices(member.user_id, member.session_id)
        membership = billing.read_membership_status(member.user_id)
    headers.allow_form_targets(billing.payment_origins())
    own = {
        "full_name": profile.name,
        "email": profile.email,
        "since": show_day(profile.created_at),
        "subscription": _render_membership(membership, is_admin=member.is_admin),
        "devices": Markup("").join(_render_device(device) for device in devices),
    }
    facts = {"verified": profile.verified, "has_other_devices": len(devices) > 1, "section": section}
    if section:
        return render_form("auth/account.html", **own, **facts, **context)
    return answer_page("auth/account.html", own, **facts, errors=None, form_error=None)


def _render_membership(status: MembershipStatus, *, is_admin: bool) -> Markup:
    own = {"sentence": status.sentence, "card": status.card or ""}
    plan = replace(status, sentence="", card=None)
    return render_part(
        "auth/_membership.html", own, membership=plan, has_card=status.card is not None, is_admin=is_admin
    )


def _render_device(device: DeviceView) -> Markup:
    own = {
        "label": device.label,
        "address": device.address,
        "ref": device.ref,
        "since": show_moment(device.created_at),
        "used": show_moment(device.last_seen_at),
        "used_short": f"{device.last_seen_at:%d %B, %H:%M}",
    }
    return render_part("auth/_device.html", own, is_current=device.current)


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
        return jsonify(to_json_data(accounts.read_profile(require_account().user_id)))
    return show_account()


@bp.post("/account")
@allow(SIGNED_IN)
@limited("account")
@show_again_on_error(_show_name, "name")
def rename() -> AnyResponse:
    """Change the name."""
    with read_form() as form:
        name = form.text("name")
    accounts.rename(require_account(), name, request_device())
    identity.refresh_viewer()
    return respond_done("Name changed.", ACCOUNT)


@bp.post("/account/password")
@allow(SIGNED_IN)
@limited("account")
@show_again_on_error(_show_password)
def change_password() -> AnyResponse:
    """Change the password, after checking the current one; other devices are signed out."""
    with read_form() as form:
        current, new = form.text("current", MAX_PASSWORD_LENGTH), form.text("password", MAX_PASSWORD_LENGTH)
    member = require_account()
    with limit_password_checks(member):
        identity.start_browser_session(accounts.change_password(member, current, new, request_device()))
    return respond_done("Password changed. Your other devices are signed out.", ACCOUNT)
