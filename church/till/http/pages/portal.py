"""The customer portal: replace the card, see invoices, cancel or resume a subscription."""

from __future__ import annotations

from flask import Blueprint, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from church.till.billing.cards import BY_NAME, CARDS, attach_card, find_card
from church.till.billing.ending import end_subscription, get_period_end, set_cancel_at
from church.till.billing.lines import compute_amount, get_item, get_product_name, list_items
from church.till.billing.scheduling import detach_schedule
from church.till.billing.subscribing import ENDED, UPDATED
from church.till.desk import Till, current_till
from church.till.http.errors import TillError
from church.till.store import Obj

bp = Blueprint("portal", __name__, url_prefix="/portal")


@bp.get("/<session>")
def show(session: str) -> str:
    """Show the subscriptions, cards and invoices of a customer."""
    with current_till().store.transaction():
        till = current_till()
        found = till.get("billing_portal.session", session)
        g.back = [found["return_url"] or ""]
        customer = till.get("customer", found["customer"])
        meant = (found["flow"] or {}).get("subscription_cancel", {}).get("subscription")
        every = till.store.all("subscription", customer=customer["id"])
        subscriptions = [_view(till, one) for one in every if meant in {None, one["id"]}]
        invoices = list(till.store.all("invoice", customer=customer["id"]))
        return render_template(
            "portal.html",
            session=found,
            customer=customer,
            subscriptions=subscriptions,
            invoices=invoices,
            cards=CARDS,
        )


def _view(till: Till, subscription: Obj) -> Obj:
    item, currency = get_item(subscription), subscription["currency"]
    method = subscription["default_payment_method"]
    items = list_items(subscription)
    return {
        **subscription,
        "plan": " and ".join(get_product_name(till, each["price"]) for each in items),
        "price": item["price"],
        "amount": sum(compute_amount(till, each["price"], each["quantity"], currency) for each in items),
        "until": item["current_period_end"],
        "card": find_card(till.store.get(method)) if method else None,
        "over": subscription["status"] in ENDED,
    }


@bp.post("/<session>")
def act(session: str) -> Response:
    """Replace the card, or cancel or resume a subscription."""
    with current_till().store.transaction():
        till = current_till()
        found = till.get("billing_portal.session", session)
        action = request.form.get("do")
        if action == "card":
            _replace_card(till, found["customer"], request.form.get("card", ""))
        else:
            subscription = till.get("subscription", request.form.get("subscription"), "subscription")
            if subscription["customer"] != found["customer"] or subscription["status"] in ENDED:
                raise TillError("This subscription is not running.")
            _change(till, subscription, action or "")
    return redirect(url_for(".show", session=session), 303)


def _replace_card(till: Till, customer_id: str, name: str) -> None:
    if name not in BY_NAME:
        raise TillError("There is no such card in the test till.")
    customer = till.get("customer", customer_id)
    method = attach_card(till, BY_NAME[name], customer_id)["id"]
    settings = {**customer["invoice_settings"], "default_payment_method": method}
    till.change(customer, "customer.updated", invoice_settings=settings)
    for subscription in till.store.all("subscription", customer=customer_id):
        if subscription["status"] not in ENDED:
            till.change(subscription, UPDATED, default_payment_method=method)


def _change(till: Till, subscription: Obj, action: str) -> None:
    """Cancel or resume. The portal sets only ``cancel_at``, as Stripe does with flexible billing."""
    if subscription["schedule"]:
        detach_schedule(till, till.get("subscription_schedule", subscription["schedule"]))
        subscription = till.get("subscription", subscription["id"])
    if action == "cancel":
        set_cancel_at(till, subscription, at=get_period_end(subscription), by_period=False)
    elif action == "cancel_now":
        end_subscription(till, subscription, "cancellation_requested")
    elif action == "resume":
        set_cancel_at(till, subscription, at=None, by_period=False)
    else:
        raise TillError("The portal does not know this action.")
