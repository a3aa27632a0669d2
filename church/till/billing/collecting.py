"""Collect the payment of an invoice: its payment intent, the charge, and retries if the card is declined."""

from __future__ import annotations

from church.till.billing.cards import ACTION_REQUIRED, PAID, find_card, try_card
from church.till.billing.charging import record_charge, record_failed_charge
from church.till.billing.periods import DAY
from church.till.desk import Till
from church.till.store import Obj

RETRY_DELAYS = (3 * DAY, 5 * DAY, 7 * DAY)  # seconds after each failure; after the last the subscription ends


def collect_payment(till: Till, invoice: Obj, *, present: bool = False, approved: bool = False) -> str:
    """Charge the amount due and return the result. ``approved``: 3-D Secure was just passed."""
    if invoice["amount_due"] == 0:
        _mark_paid(till, invoice, 0)
        return PAID
    method = find_payment_method(till, invoice)
    result = try_card(till, find_card(method), present=present)
    if result == ACTION_REQUIRED and approved:
        result = PAID
    payment, intent = _open_payment(till, invoice, method)
    if result == PAID:
        record_charge(till, intent, method)
        till.change(
            payment,
            "invoice_payment.paid",
            amount_paid=intent["amount"],
            status="paid",
            status_transitions={"canceled_at": None, "paid_at": till.now},
        )
        _mark_paid(till, invoice, intent["amount"])
    else:
        record_failed_charge(till, intent, method, result)
        _mark_failed(till, invoice, result)
    return result


def find_payment_method(till: Till, invoice: Obj) -> Obj | None:
    """Return the payment method of an invoice: the subscription's, or else the customer's default."""
    subscription = till.store.get(invoice["parent"]["subscription_details"]["subscription"]) or {}
    customer = till.store.get(invoice["customer"]) or {}
    settings = customer.get("invoice_settings", {})
    method_id = subscription.get("default_payment_method") or settings.get("default_payment_method")
    return till.store.get(method_id) if method_id else None


def _open_payment(till: Till, invoice: Obj, method: Obj | None) -> tuple[Obj, Obj]:
    """Return the invoice's open payment and its intent, creating them at the first attempt."""
    method_id = method["id"] if method else None
    for payment in till.store.all("invoice_payment", invoice=invoice["id"], status="open"):
        intent = till.get("payment_intent", payment["payment"]["payment_intent"])
        return payment, till.change(intent, payment_method=method_id)
    amount, currency = invoice["amount_due"], invoice["currency"]
    intent = till.make(
        "payment_intent",
        amount=amount,
        currency=currency,
        customer=invoice["customer"],
        description="Subscription creation"
        if invoice["billing_reason"] == "subscription_create"
        else "Subscription update",
        payment_method=method_id,
        setup_future_usage="off_session",
    )
    intent["client_secret"] = f"{intent['id']}_secret_till"
    payment = till.make(
        "invoice_payment",
        amount_requested=amount,
        currency=currency,
        invoice=invoice["id"],
        payment={"type": "payment_intent", "payment_intent": intent["id"]},
    )
    return till.add(payment), till.add(intent, "payment_intent.created")


def _mark_paid(till: Till, invoice: Obj, amount: int) -> None:
    events = ("invoice.paid", "invoice.payment_succeeded")
    till.change(
        invoice,
        *events,
        amount_paid=amount,
        amount_remaining=0,
        attempt_count=invoice["attempt_count"] + (1 if amount else 0),
        attempted=True,
        auto_advance=False,
        next_payment_attempt=None,
        status="paid",
        status_transitions={**invoice["status_transitions"], "paid_at": till.now},
    )


def _mark_failed(till: Till, invoice: Obj, result: str) -> None:
    count = invoice["attempt_count"] + 1
    due = till.now + RETRY_DELAYS[count - 1] if count <= len(RETRY_DELAYS) else None
    events = ["invoice.payment_failed", *(["invoice.payment_action_required"] if result == ACTION_REQUIRED else [])]
    till.change(invoice, *events, attempt_count=count, attempted=True, next_payment_attempt=due)
