"""What was fetched, as the entries of the ledger that it amounts to: pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from church.models.billing import EntryKind
from church.services.billing.stripe.client import Obj
from church.services.billing.stripe.fetch import Facts
from church.services.billing.stripe.objects import first_moment, part, ref, rows

WHOLE = "invoice:"
"""How the source of a payment begins that is booked from its invoice as a whole."""
UNDONE = frozenset({"failed", "canceled"})
"""States of a refund of which nothing is left, whether its money had moved or not."""
OPPOSITE = "refund_failed:"
"""How the source begins of what takes a refund back: to be booked only if the refund itself is."""


def bookings(facts: Facts) -> Iterator[dict[str, Any]]:
    """The entries that what was fetched amounts to, booked or not."""
    for stripe_id, invoice in facts.invoices.items():
        if invoice.get("payments") is None and invoice.get("status") == "paid" and invoice.get("amount_paid"):
            yield _paid(stripe_id, invoice)
        for payment in rows(invoice, "payments"):
            if payment.get("status") == "paid" and payment.get("amount_paid"):
                yield _payment(stripe_id, payment)
    for refund in facts.refunds:
        moved_back = refund.get("status") in UNDONE and refund.get("failure_balance_transaction")
        if refund.get("status") == "succeeded" or moved_back:
            yield _back(facts, refund, EntryKind.REFUND, f"refund:{refund['id']}")
        if refund.get("status") in UNDONE:
            yield _back(facts, refund, EntryKind.REFUND_FAILED, f"{OPPOSITE}{refund['id']}")
    for dispute in facts.disputes:
        moved = [one for one in dispute.get("balance_transactions") or [] if isinstance(one, dict)]
        for kind, what, sign in (
            (EntryKind.DISPUTE, "withdrawn", -1),
            (EntryKind.DISPUTE_REVERSAL, "reinstated", 1),
        ):
            movement = next((one for one in moved if (one.get("amount") or 0) * sign > 0), None)
            if movement is not None:
                at = {**dispute, "created": movement.get("created")}
                yield _back(facts, at, kind, f"dispute:{dispute['id']}:{what}")


def _payment(invoice: str, payment: Obj) -> dict[str, Any]:
    by = payment.get("payment") or {}
    return {
        "source_id": f"in_payment:{payment['id']}",
        "kind": EntryKind.PAYMENT.value,
        "amount": payment["amount_paid"],
        "currency": str(payment.get("currency")).lower(),
        "stripe_invoice": invoice,
        "stripe_payment": ref(by.get("payment_intent")) or ref(by.get("charge")),
        "occurred_at": first_moment(part(payment, "status_transitions", "paid_at"), payment.get("created")),
    }


def _paid(stripe_id: str, invoice: Obj) -> dict[str, Any]:
    """What an invoice says was paid, where whoever answers for Stripe tells nothing of its payments."""
    return {
        "source_id": f"{WHOLE}{stripe_id}",
        "kind": EntryKind.PAYMENT.value,
        "amount": invoice["amount_paid"],
        "currency": str(invoice.get("currency")).lower(),
        "stripe_invoice": stripe_id,
        "stripe_payment": ref(invoice.get("payment_intent")) or ref(invoice.get("charge")),
        "occurred_at": first_moment(part(invoice, "status_transitions", "paid_at"), invoice.get("created")),
    }


def _back(facts: Facts, obj: Obj, kind: EntryKind, source: str) -> dict[str, Any]:
    """A refund or dispute: Stripe tells amounts without a sign, in the currency of the payment."""
    sign = -1 if kind in {EntryKind.REFUND, EntryKind.DISPUTE} else 1
    return {
        "source_id": source,
        "kind": kind.value,
        "amount": sign * abs(obj.get("amount") or 0),
        "currency": str(obj.get("currency")).lower(),
        "stripe_invoice": None,
        "stripe_payment": facts.payment,
        "occurred_at": first_moment(obj.get("created")),
    }
