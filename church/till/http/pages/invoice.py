"""The page of an invoice: its lines, its state, and a button to pay it."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from church.till.billing.cards import PAID, find_card
from church.till.billing.collecting import collect_payment, find_payment_method
from church.till.billing.subscribing import ENDED, update_after_payment
from church.till.desk import current_till
from church.till.store import Obj

bp = Blueprint("invoice", __name__, url_prefix="/invoice")
_REFUSED = "Your card was declined. Choose another card in the customer portal."


def _render(invoice: Obj, problem: str | None = None) -> str:
    card = find_card(find_payment_method(current_till(), invoice))
    return render_template("invoice.html", invoice=invoice, card=card, problem=problem)


@bp.get("/<invoice>")
def show(invoice: str) -> str:
    """Show the invoice."""
    with current_till().store.transaction():
        return _render(current_till().get("invoice", invoice))


@bp.post("/<invoice>")
def act(invoice: str) -> Response | tuple[str, int]:
    """Pay an open invoice, with 3-D Secure passed."""
    with current_till().store.transaction():
        till = current_till()
        found = till.get("invoice", invoice)
        if found["status"] != "open" or request.form.get("do") != "pay":
            return _render(found), 409
        result = collect_payment(till, found, present=True, approved=True)
        subscription = till.get("subscription", found["parent"]["subscription_details"]["subscription"])
        if subscription["status"] not in ENDED:
            update_after_payment(till, subscription, found, result)
        if result == PAID:
            return redirect(url_for(".show", invoice=invoice), 303)
        return _render(found, _REFUSED), 402
