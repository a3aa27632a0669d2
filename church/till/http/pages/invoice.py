"""The page of an invoice: its lines, its state, and a button to pay it."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from church.till.billing.cards import PAID, card_of
from church.till.billing.collecting import collect, method_for
from church.till.billing.subscribing import ENDED, settle
from church.till.desk import desk
from church.till.store import Obj

bp = Blueprint("invoice", __name__, url_prefix="/invoice")
_REFUSED = "Your card was declined. Choose another card in the customer portal."


def _render(invoice: Obj, problem: str | None = None) -> str:
    card = card_of(method_for(desk(), invoice))
    return render_template("invoice.html", invoice=invoice, card=card, problem=problem)


@bp.get("/<invoice>")
def show(invoice: str) -> str:
    """Show the invoice."""
    with desk().store.transaction():
        return _render(desk().get("invoice", invoice))


@bp.post("/<invoice>")
def act(invoice: str) -> Response | tuple[str, int]:
    """Pay an open invoice, with 3-D Secure passed."""
    with desk().store.transaction():
        till = desk()
        found = till.get("invoice", invoice)
        if found["status"] != "open" or request.form.get("do") != "pay":
            return _render(found), 409
        result = collect(till, found, present=True, approved=True)
        subscription = till.get("subscription", found["parent"]["subscription_details"]["subscription"])
        if subscription["status"] not in ENDED:
            settle(till, subscription, found, result)
        if result == PAID:
            return redirect(url_for(".show", invoice=invoice), 303)
        return _render(found, _REFUSED), 402
