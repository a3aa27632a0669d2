"""The page of one account, by itself or with the error of a change that failed."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response

from church.blueprints.admin.area import render_answer
from church.extensions import db
from church.models.base import utc_now
from church.services import accounts, billing
from church.web.identity import viewer

GRANT_FIELDS = ("until", "reason")


def show_member(
    ref: str,
    problem: str | None = None,
    status: int = 200,
    errors: Mapping[str, str] | None = None,
    values: Mapping[str, str] | None = None,
) -> Response:
    """Show the account ``ref``; ``errors`` and ``values`` belong to the form for complimentary premium."""
    with db.snapshot():
        data = {"dossier": accounts.load_account_details(ref), "membership": billing.read_member_billing(ref)}
    form = {"errors": errors or {}, "values": values or {}}
    return render_answer(
        "admin/member.html", data, status, problem=problem, own=is_own_account(ref), today=utc_now().date(), **form
    )  # fmt: skip


def is_own_account(ref: str) -> bool:
    """Whether the account is the signed-in admin's own."""
    person = viewer()
    return person is not None and person.ref == ref
