"""The ledger: what moved, its totals by currency and month, and all of it as a file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from flask import Flask, Response, current_app

from church.blueprints.admin.area import answer, bp
from church.blueprints.admin.list_filters import PAGE, listed, number, words
from church.models.base import utc_now
from church.services import billing, money
from church.services.billing import admin_actions
from church.web.rate_limits import limited
from church.web.route_access import ADMINS, allow

_MONTHS = 24


@bp.get("/membership/ledger")
@allow(ADMINS)
@limited("page")
def membership_ledger() -> Response:
    """The entries in a currency and of a member, newest first; the totals are those of the whole ledger."""
    currency, ref = words("currency"), words("member")
    entries = billing.list_ledger_entries(
        before_id=number("before"), currency=currency or None, user_ref=ref or None, limit=PAGE + 1
    )  # fmt: skip
    data = {"entries": listed(entries), "totals": admin_actions.list_totals(), "months": billing.list_months(_MONTHS)}
    return answer("admin/membership_ledger.html", data, currency=currency, member=ref, money=money.display)


@bp.get("/membership/ledger.csv")
@allow(ADMINS)
@limited("page")
def membership_ledger_csv() -> Response:
    """The same entries, all of them, for a spreadsheet; a database that is down is said before the first byte."""
    pieces = admin_actions.ledger_csv(words("currency") or None, words("member") or None)
    first = [next(pieces), next(pieces, "")]
    later = _within(current_app._get_current_object(), pieces)  # type: ignore[attr-defined]
    response = Response(chain(first, later), mimetype="text/csv")
    name = f"ledger-{utc_now():%Y-%m-%d}.csv"
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


def _within(app: Flask, pieces: Iterator[str]) -> Iterator[str]:
    """The pieces, each made in a context of its own: none is left open by a client that goes away between two."""
    while True:
        with app.app_context():
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece
