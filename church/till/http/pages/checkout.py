"""The checkout page."""

from __future__ import annotations

from flask import Blueprint, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from church.till.billing.cards import ACTION_REQUIRED, BY_NAME, CARDS, PAID, Card
from church.till.billing.checkout import apply_promotion_code, get_order, needs_card, pay_session
from church.till.billing.lines import get_product_name
from church.till.desk import current_till
from church.till.http.errors import TillError
from church.till.store import Obj

bp = Blueprint("checkout", __name__, url_prefix="/checkout")
_DECLINED = "Your card was declined. You were not charged. Try another card."
_NOT_APPROVED = "3-D Secure failed. You were not charged. Try again, or try another card."
_NO_CODE = "This code is not valid."


def _open(session: str) -> Obj:
    found = current_till().get("checkout.session", session)
    g.back = [found["success_url"], found["cancel_url"] or ""]
    return found


def _render(session: Obj, problem: str | None = None) -> str:
    till = current_till()
    order = get_order(till, session)
    price = till.get("price", order["price"])
    name = get_product_name(till, price)
    return render_template(
        "checkout.html",
        session=session,
        order=order,
        price=price,
        name=name,
        cards=CARDS,
        needed=needs_card(session),
        email=request.form.get("email", ""),
        problem=problem,
    )


@bp.get("/<session>")
def show(session: str) -> str:
    """Show the amount due and the cards."""
    with current_till().store.transaction():
        return _render(_open(session))


@bp.post("/<session>")
def act(session: str) -> Response | tuple[str, int]:
    """Pay with a card, or apply a promotion code."""
    form = request.form
    with current_till().store.transaction():
        found = _open(session)
        if found["status"] != "open":
            return _render(found), 409
        if form.get("do") == "code":
            applied = apply_promotion_code(current_till(), found, form.get("code", ""))
            return redirect(url_for(".show", session=session), 303) if applied else (_render(found, _NO_CODE), 422)
        return _pay(found, _card(form.get("card", "good")))


def _card(name: str) -> Card | None:
    if name == "none":
        return None
    if name not in BY_NAME:
        raise TillError("There is no such card in the test till.")
    return BY_NAME[name]


def _pay(session: Obj, card: Card | None, *, approved: bool = False) -> Response | tuple[str, int]:
    email = request.form.get("email", "").strip()
    if not (session["customer"] or session["customer_email"] or email):
        return _render(session, "Enter your email address."), 422
    result = pay_session(current_till(), session, card, email, approved=approved)
    if result == PAID:
        return redirect(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]), 303)
    if result == ACTION_REQUIRED and card:
        return redirect(url_for(".authenticate", session=session["id"], card=card.name, email=email), 303)
    return _render(session, _DECLINED), 402


@bp.get("/<session>/authenticate")
def authenticate(session: str) -> str:
    """Show the page of the payer's bank."""
    with current_till().store.transaction():
        found = _open(session)
    card = _card(request.args.get("card", ""))
    return render_template("authenticate.html", session=found, card=card, email=request.args.get("email", ""))


@bp.post("/<session>/authenticate")
def answer(session: str) -> Response | tuple[str, int]:
    """Handle the payer's answer: approve or refuse."""
    with current_till().store.transaction():
        found = _open(session)
        if found["status"] != "open":
            return _render(found), 409
        if request.form.get("do") == "approve":
            return _pay(found, _card(request.form.get("card", "")), approved=True)
        return _render(found, _NOT_APPROVED), 402
