"""Hold a change of plan until its invoice is paid, and drop it if it stays unpaid for 23 hours.

Source: https://docs.stripe.com/billing/subscriptions/pending-updates-reference
"""

from __future__ import annotations

from church.till.billing.cards import PAID
from church.till.billing.collecting import collect_payment
from church.till.billing.invoicing import draft_invoice, finalize_invoice
from church.till.billing.lines import get_item
from church.till.billing.subscribing import UPDATED, list_discounts, take_pending_lines, update_after_payment
from church.till.desk import Till
from church.till.store import Obj

_LIFETIME = 23 * 3600  # seconds
_EXPIRED = "customer.subscription.pending_update_expired"


def hold_change(till: Till, subscription: Obj, change: Obj, parts: list[Obj]) -> None:
    """Invoice ``parts`` and apply the change when they are paid, which may be now.

    ``change`` has the new items, their period (``span``), and other fields of the subscription.
    """
    lines = [*take_pending_lines(till, subscription), *parts]
    invoice = finalize_invoice(
        till, draft_invoice(till, subscription, lines, "subscription_update", list_discounts(till, subscription))
    )
    till.store.put({"id": f"held_{invoice['id']}", "object": "till.held", **change})
    result = collect_payment(till, invoice)
    if result != PAID:
        till.change(invoice, next_payment_attempt=None)  # no retry: the payer has to pay it
        pending = _pending_update(till, subscription, change)
        till.change(subscription, UPDATED, latest_invoice=invoice["id"], pending_update=pending)
    update_after_payment(till, subscription, invoice, result, latest_invoice=invoice["id"])


def _pending_update(till: Till, subscription: Obj, change: Obj) -> Obj:
    until = min(till.now + _LIFETIME, get_item(subscription)["current_period_end"])
    empty = dict.fromkeys(("billing_cycle_anchor", "trial_end", "trial_from_plan"))
    return {**empty, "expires_at": until, "subscription_items": change["items"]}


def drop_pending_change(till: Till, subscription: Obj) -> None:
    """Drop the pending change, if there is one, and void its invoice."""
    if subscription["pending_update"] is None:
        return
    invoice = till.get("invoice", subscription["latest_invoice"])
    if invoice["status"] == "open":
        transitions = {**invoice["status_transitions"], "voided_at": till.now}
        till.change(invoice, "invoice.voided", status="void", status_transitions=transitions)
    till.change(subscription, _EXPIRED, UPDATED, pending_update=None)
