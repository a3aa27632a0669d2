"""Payments whose payer is no member: list them, give one to a member, dismiss one."""

from __future__ import annotations

from flask import Response, url_for

from church.blueprints.admin.area import bp, render_answer
from church.blueprints.admin.list_filters import read_choice, read_place
from church.blueprints.admin.member_page import is_own_account
from church.database.paging import Place
from church.errors import ConflictError, FieldErrors
from church.services import billing
from church.services.billing import PaymentState
from church.web.error_pages import wants_json
from church.web.forms import Fields, read_fields
from church.web.identity import refresh_viewer
from church.web.rate_limits import limited
from church.web.responses import current_actor, respond_done
from church.web.route_access import ADMINS, allow

_MOST = 254  # characters of an email address


@bp.get("/membership/unmatched")
@allow(ADMINS)
@limited("page")
def membership_unmatched() -> Response:
    """List the payments, newest first; optionally those in one state."""
    return _show_list(read_choice(PaymentState, "state"), read_place())


@bp.post("/membership/unmatched/<int(max=9223372036854775807):payment_id>/assign")
@allow(ADMINS)
@limited("account")
def membership_assign(payment_id: int) -> Response:
    """Give the payment to the ``member`` with this email address or ref."""
    sent = read_fields()
    try:
        member = sent.text("member", _MOST)
        sent.check()
        ref = billing.assign_payment(payment_id, member, current_actor())
    except (FieldErrors, ConflictError) as error:
        if wants_json():
            raise
        return _show_failed(payment_id, sent, error)
    if is_own_account(ref):
        refresh_viewer()
    count = billing.count_living_subscriptions(ref)
    twice = f" This member now has {count} subscriptions. End one, or refund it at Stripe." if count > 1 else ""
    return respond_done(f"Payment assigned.{twice}", url_for("admin.member", ref=ref), member=ref, subscriptions=count)


@bp.post("/membership/unmatched/<int(max=9223372036854775807):payment_id>/dismiss")
@allow(ADMINS)
@limited("account")
def membership_dismiss(payment_id: int) -> Response:
    """Say that the payment belongs to no member."""
    billing.dismiss_payment(payment_id, current_actor())
    return respond_done("Payment dismissed.", url_for("admin.membership_unmatched"))


def _show_failed(payment_id: int, sent: Fields, error: FieldErrors | ConflictError) -> Response:
    """Show the list from the payment on, with its form open and the error at its field."""
    errors = error.errors if isinstance(error, FieldErrors) else {}
    form = {"failed": payment_id, "errors": errors, "values": sent.shown("member")}
    return _show_list(None, Place(before=payment_id + 1), error.status, problem=None if errors else str(error), **form)


def _show_list(state: PaymentState | None, place: Place, status: int = 200, **form: object) -> Response:
    payments = billing.list_unmatched(state=state, place=place)
    data = {"payments": payments.as_data(), "counts": billing.count_unmatched()}
    page = {"errors": {}, "values": {}, "problem": None, "failed": None, **form}
    return render_answer("admin/money/unmatched.html", data, status, state=state, states=list(PaymentState), **page)
