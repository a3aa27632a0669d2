"""A change of plan that waits for its payment: before that nothing of it holds, and unpaid it is dropped in a day.

Source: https://docs.stripe.com/billing/subscriptions/pending-updates-reference
"""

from __future__ import annotations

from church.till.billing.cards import PAID
from church.till.billing.collecting import collect
from church.till.billing.invoicing import draft, issue
from church.till.billing.lines import only_item
from church.till.billing.subscribing import UPDATED, discounts_of, settle, take_pending
from church.till.desk import Desk
from church.till.store import Obj

_LIFE = 23 * 3600  # seconds
_DROPPED = "customer.subscription.pending_update_expired"


def hold(till: Desk, subscription: Obj, change: Obj, parts: list[Obj]) -> None:
    """Bill ``parts`` and make the change when they are paid, which may be at once.

    ``change`` is the item's new price and quantity, its period (``span``), and what else of the subscription moves.
    """
    lines = [*take_pending(till, subscription), *parts]
    invoice = issue(till, draft(till, subscription, lines, "subscription_update", discounts_of(till, subscription)))
    till.store.put({"id": f"held_{invoice['id']}", "object": "till.held", **change})
    said = collect(till, invoice)
    if said != PAID:
        till.change(invoice, next_payment_attempt=None)  # the payer pays it, or nobody does
        waits = _told(till, subscription, change)
        till.change(subscription, UPDATED, latest_invoice=invoice["id"], pending_update=waits)
    settle(till, subscription, invoice, said, latest_invoice=invoice["id"])


def _told(till: Desk, subscription: Obj, change: Obj) -> Obj:
    item = only_item(subscription)
    wish = {**item, "price": change["price"], "quantity": change["quantity"]}
    until = min(till.now + _LIFE, item["current_period_end"])
    nothing = dict.fromkeys(("billing_cycle_anchor", "trial_end", "trial_from_plan"))
    return {**nothing, "expires_at": until, "subscription_items": [wish]}


def drop(till: Desk, subscription: Obj) -> None:
    """Forget the change that waits, if one does, and its invoice."""
    if subscription["pending_update"] is None:
        return
    invoice = till.get("invoice", subscription["latest_invoice"])
    if invoice["status"] == "open":
        moments = {**invoice["status_transitions"], "voided_at": till.now}
        till.change(invoice, "invoice.voided", status="void", status_transitions=moments)
    till.change(subscription, _DROPPED, UPDATED, pending_update=None)
