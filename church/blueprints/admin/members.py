"""Accounts: list and search them, show one, change its role, disable it, sign it out, send a password link."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, url_for

from church.blueprints.admin.area import Group, bp, finds, render_answer, section
from church.blueprints.admin.list_filters import read_choice, read_day, read_text
from church.blueprints.admin.member_page import is_own_account, show_member
from church.errors import ConflictError, InvalidError
from church.models.accounts import Role
from church.services import accounts
from church.services.accounts import MemberFilters, MemberPlace, MemberState, MemberView
from church.services.audit import Actor
from church.web.error_pages import wants_json
from church.web.forms import read_fields
from church.web.identity import refresh_viewer
from church.web.rate_limits import limited
from church.web.responses import current_actor, respond_done
from church.web.route_access import ADMINS, allow

_REF = 32  # characters read of a ref


@bp.get("/members")
@section("Members", Group.SITE, 20, "m")
@allow(ADMINS)
@limited("page")
def members() -> Response:
    """List accounts by part of a name or address, by role, by state and by subscription."""
    filters = MemberFilters(
        read_text("q"), read_choice(Role, "role"), read_choice(MemberState, "state"), read_text("subscriber") == "1"
    )
    place = MemberPlace(read_text("before", _REF), read_text("after", _REF), read_day("day"))
    found = accounts.search_accounts(filters, place)
    return render_answer("admin/members.html", {"found": found}, filters=filters)


@bp.get("/members/<ref>")
@finds("user_ref", "ref")
@allow(ADMINS)
@limited("page")
def member(ref: str) -> Response:
    """Show one account with its devices and its activity."""
    return show_member(ref)


@bp.post("/members/<ref>/role")
@allow(ADMINS)
@limited("account")
def member_role(ref: str) -> Response:
    """Set the account's role to ``role``."""
    sent = read_fields()
    role, own = sent.text("role", 20), sent.flag("own")
    if role not in set(Role):
        raise InvalidError(f"“role” must be one of: {', '.join(Role)}.")

    def change(who: Actor) -> str:
        account = accounts.set_role(ref, Role(role), who, own=own)
        is_admin = account.role == Role.ADMIN
        return f"{account.label} is an admin." if is_admin else f"{account.label} is no longer an admin."

    return _act(ref, change)


@bp.post("/members/<ref>/disable")
@allow(ADMINS)
@limited("account")
def member_disable(ref: str) -> Response:
    """Disable the account."""
    own = read_fields().flag("own")
    return _act(
        ref,
        lambda who: f"{accounts.disable_account(ref, who, own=own).label} is disabled and signed out everywhere.",
    )


@bp.post("/members/<ref>/enable")
@allow(ADMINS)
@limited("account")
def member_enable(ref: str) -> Response:
    """Enable a disabled account."""
    return _act(ref, lambda who: f"{accounts.enable_account(ref, who).label} can sign in again.")


@bp.post("/members/<ref>/end-sessions")
@allow(ADMINS)
@limited("account")
def member_end_sessions(ref: str) -> Response:
    """Sign the account out everywhere."""

    def change(who: Actor) -> str:
        ended = accounts.end_sessions(ref, who)
        return f"Signed out of {ended} device{'' if ended == 1 else 's'}."

    return _act(ref, change)


@bp.post("/members/<ref>/reset")
@allow(ADMINS)
@limited("account")
def member_reset(ref: str) -> Response:
    """Email the owner a link to choose a password."""

    def change(who: Actor) -> str:
        accounts.send_reset(ref, who)
        return "Password link sent."

    return _act(ref, change)


def _act(ref: str, change: Callable[[Actor], str]) -> Response:
    """Make a change and confirm it. A conflict is shown on the account's page, with status 409."""
    own = is_own_account(ref)
    try:
        message = change(current_actor())
    except ConflictError as error:
        if wants_json():
            raise
        return show_member(ref, str(error), error.status)
    if own:
        refresh_viewer()
    account = accounts.load_member(ref)
    return respond_done(message, _next_page(account, own), member=account)


def _next_page(account: MemberView, own: bool) -> str:
    """Return the account's page, or the home page for admins who have just lost access to the admin area."""
    if own and (account.role != Role.ADMIN or account.state != MemberState.ACTIVE):
        return "/"
    return url_for("admin.member", ref=account.ref)
