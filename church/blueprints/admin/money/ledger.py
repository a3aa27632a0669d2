"""The payment ledger: list entries and totals by currency and month, download them as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from flask import Flask, Response, current_app

from church.blueprints.admin.area import bp, render_answer
from church.blueprints.admin.list_filters import read_place, read_text
from church.models.base import utc_now
from church.services import billing, money
from church.web.rate_limits import limited
from church.web.route_access import ADMINS, allow

_MONTHS = 24


@bp.get("/membership/ledger")
@allow(ADMINS)
@limited("page")
def membership_ledger() -> Response:
    """List the entries, newest first, optionally in one currency or of one member. Totals cover the whole ledger."""
    currency, ref = read_text("currency"), read_text("member")
    entries = billing.list_ledger_entries(currency=currency or None, user_ref=ref or None, place=read_place())
    data = {"entries": entries.as_data(), "totals": billing.list_totals(), "months": billing.list_months(_MONTHS)}
    return render_answer("admin/money/ledger.html", data, currency=currency, member=ref, money=money.format_amount)


@bp.get("/membership/ledger.csv")
@allow(ADMINS)
@limited("page")
def membership_ledger_csv() -> Response:
    """Download all of these entries as CSV. If the database is down, the answer is an error, not a broken file."""
    pieces = billing.export_ledger(read_text("currency") or None, read_text("member") or None)
    first = [next(pieces), next(pieces, "")]
    rest = _in_context(current_app._get_current_object(), pieces)  # type: ignore[attr-defined]
    response = Response(chain(first, rest), mimetype="text/csv")
    name = f"ledger-{utc_now():%Y-%m-%d}.csv"
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


def _in_context(app: Flask, pieces: Iterator[str]) -> Iterator[str]:
    """Make each piece in its own app context, so that a client that disconnects leaves no context open."""
    while True:
        with app.app_context():
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece
