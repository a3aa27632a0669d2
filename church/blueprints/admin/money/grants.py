"""Complimentary premium: list it, give it to a member, revoke it."""

from __future__ import annotations

from flask import Response, url_for

from church.blueprints.admin.area import bp, render_answer
from church.blueprints.admin.list_filters import read_choice, read_place
from church.blueprints.admin.member_page import GRANT_FIELDS, is_own_account, show_member
from church.errors import ConflictError, FieldErrors
from church.services import billing
from church.services.billing import GrantState
from church.web.error_pages import wants_json
from church.web.forms import read_fields
from church.web.identity import refresh_viewer
from church.web.rate_limits import limited
from church.web.responses import current_actor, respond_done
from church.web.route_access import ADMINS, allow

_MOST = 400  # characters read of a field; the service checks the real limit


@bp.get("/membership/grants")
@allow(ADMINS)
@limited("page")
def membership_grants() -> Response:
    """List the grants, newest first; optionally those in one state."""
    state = read_choice(GrantState, "state")
    grants = billing.list_grants(state=state, place=read_place())
    data = {"grants": grants.as_data(), "counts": billing.count_grants()}
    return render_answer("admin/money/grants.html", data, state=state, states=list(GrantState))


@bp.post("/members/<ref>/grants")
@allow(ADMINS)
@limited("account")
def member_grant(ref: str) -> Response:
    """Give premium until the end of the day ``until``, for a ``reason``."""
    sent = read_fields()
    until, reason = sent.text("until", _MOST), sent.text("reason", _MOST)
    try:
        sent.check()
        grant_id = billing.grant_premium(ref, billing.end_of_day(until), reason, current_actor())
    except (FieldErrors, ConflictError) as error:
        if wants_json():
            raise
        errors = error.errors if isinstance(error, FieldErrors) else {}
        problem = None if errors else str(error)
        return show_member(ref, problem, error.status, errors, sent.shown(*GRANT_FIELDS))
    return _done(ref, f"Complimentary premium given until {until.strip()}.", grant=grant_id)


@bp.post("/membership/grants/<int(max=9223372036854775807):grant_id>/revoke")
@allow(ADMINS)
@limited("account")
def membership_revoke(grant_id: int) -> Response:
    """Revoke a grant; it ends at once."""
    ref = billing.revoke_grant(grant_id, current_actor())
    return _done(ref, "Complimentary premium revoked.", grant=grant_id)


def _done(ref: str, message: str, **data: object) -> Response:
    if is_own_account(ref):
        refresh_viewer()
    return respond_done(message, url_for("admin.member", ref=ref), **data)
