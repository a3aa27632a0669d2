"""Accounts: the list, one of them, and what an admin does to it."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, url_for

from church.blueprints.admin.area import answer, bp, section
from church.blueprints.admin.list_filters import number, one_of, words
from church.blueprints.admin.member_page import is_own, shown
from church.errors import ConflictError, InvalidError
from church.models.accounts import Role
from church.services.accounts import members as accounts_members
from church.services.accounts.members import MemberState, MemberView
from church.services.audit import Actor
from church.web.error_pages import wants_json
from church.web.forms import fields
from church.web.identity import renew
from church.web.rate_limits import limited
from church.web.responses import actor, done
from church.web.route_access import ADMINS, allow


@bp.get("/members")
@section("Members", 20)
@allow(ADMINS)
@limited("page")
def members() -> Response:
    """The accounts, by a piece of name or address, by role and by state."""
    query, role, state = words("q"), one_of(Role, "role"), one_of(MemberState, "state")
    found = accounts_members.search(query, role, state, number("page") or 1)
    return answer("admin/members.html", {"found": found}, query=query, role=role, state=state)


@bp.get("/members/<ref>")
@allow(ADMINS)
@limited("page")
def member(ref: str) -> Response:
    """One account: its facts, devices, and what was done to it."""
    return shown(ref)


@bp.post("/members/<ref>/role")
@allow(ADMINS)
@limited("account")
def member_role(ref: str) -> Response:
    """Promote or demote; ``role`` says to what."""
    sent = fields()
    asked, own = sent.text("role", 20), sent.flag("own")
    if asked not in set(Role):
        raise InvalidError(f"“role” must be one of: {', '.join(Role)}.")

    def change(who: Actor) -> str:
        found = accounts_members.set_role(ref, Role(asked), who, own=own)
        return f"{found.label} is an admin." if found.role == Role.ADMIN else f"{found.label} is no longer an admin."

    return _act(ref, change)


@bp.post("/members/<ref>/disable")
@allow(ADMINS)
@limited("account")
def member_disable(ref: str) -> Response:
    """Shut the account."""
    own = fields().flag("own")
    return _act(
        ref, lambda who: f"{accounts_members.disable(ref, who, own=own).label} is disabled and signed out everywhere."
    )


@bp.post("/members/<ref>/enable")
@allow(ADMINS)
@limited("account")
def member_enable(ref: str) -> Response:
    """Open a disabled account."""
    return _act(ref, lambda who: f"{accounts_members.enable(ref, who).label} can sign in again.")


@bp.post("/members/<ref>/end-sessions")
@allow(ADMINS)
@limited("account")
def member_end_sessions(ref: str) -> Response:
    """Sign the account out everywhere."""

    def change(who: Actor) -> str:
        ended = accounts_members.end_sessions(ref, who)
        return f"Signed out of {ended} device{'' if ended == 1 else 's'}."

    return _act(ref, change)


@bp.post("/members/<ref>/reset")
@allow(ADMINS)
@limited("account")
def member_reset(ref: str) -> Response:
    """Mail the owner a link to choose a password."""

    def change(who: Actor) -> str:
        accounts_members.send_reset(ref, who)
        return "Password link sent."

    return _act(ref, change)


def _act(ref: str, change: Callable[[Actor], str]) -> Response:
    """Make a change and say so; what stands against it is said above the account, as it is, with status 409."""
    own = is_own(ref)
    try:
        said = change(actor())
    except ConflictError as error:
        if wants_json():
            raise
        return shown(ref, str(error), error.status)
    if own:
        renew()
    found = accounts_members.member(ref)
    return done(said, _back_to(found, own), member=found)


def _back_to(found: MemberView, own: bool) -> str:
    """The account's page; who has just shut the admin area for themself is led out of it."""
    if own and (found.role != Role.ADMIN or found.state != MemberState.ACTIVE):
        return "/"
    return url_for("admin.member", ref=found.ref)
