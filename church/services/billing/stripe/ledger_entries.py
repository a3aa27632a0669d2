"""Book payments, refunds and disputes fetched from Stripe in the ledger, each once by its ``source_id``.

Entries are only ever added. A refund that fails after its money moved gets an opposite entry, so that a late event
about the refund finds its source booked and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from church.database.upsert import add_once
from church.models import LedgerEntry
from church.models.billing import EntryKind
from church.services.billing.stripe.client import StripeObject
from church.services.billing.stripe.fetch import Facts
from church.services.billing.stripe.objects import first_datetime, get_id, get_list, get_nested

Entry = dict[str, Any]

WHOLE_INVOICE = "invoice:"
"""Prefix of ``source_id`` for a payment booked from its invoice as a whole."""
REFUND = "refund:"
"""Prefix of ``source_id`` for a refund."""
REFUND_FAILED = "refund_failed:"
"""Prefix of ``source_id`` for an entry that takes a refund back; booked only if the refund itself is."""
FAILED_REFUNDS = frozenset({"failed", "canceled"})
"""States of a refund that was undone, whether or not its money had moved."""

_ENTRIES: Any = LedgerEntry.__table__
_BOOKED = select(_ENTRIES.c.id).where(_ENTRIES.c.source_id == bindparam("source"))
_PAYMENTS = select(_ENTRIES.c.source_id).where(
    _ENTRIES.c.stripe_invoice == bindparam("invoice"), _ENTRIES.c.kind == EntryKind.PAYMENT.value
)


def book_entries(session: Session, facts: Facts) -> int:
    """Add the entries that are not booked yet, in the caller's transaction. Returns how many were added."""
    owner = {"user_id": facts.owner_id, "stripe_customer": facts.customer_id}
    added = 0
    for entry in _entries(facts):
        if not entry["amount"] or _is_booked_otherwise(session, entry) or _has_no_refund(session, entry):
            continue
        added += add_once(session, LedgerEntry, "source_id", {**entry, **owner}) is not None
    return added


def _is_booked_otherwise(session: Session, entry: Entry) -> bool:
    """Whether the same money is booked from its payment where this entry is from the invoice, or the reverse."""
    if entry["kind"] != EntryKind.PAYMENT.value:
        return False
    whole = entry["source_id"].startswith(WHOLE_INVOICE)
    booked = session.scalars(_PAYMENTS, {"invoice": entry["stripe_invoice"]})
    return any(source.startswith(WHOLE_INVOICE) is not whole for source in booked)


def _has_no_refund(session: Session, entry: Entry) -> bool:
    """Whether it takes back a refund that is not booked, because it was cancelled before its money moved."""
    if entry["kind"] != EntryKind.REFUND_FAILED.value:
        return False
    refund = REFUND + entry["source_id"].removeprefix(REFUND_FAILED)
    return session.scalars(_BOOKED, {"source": refund}).first() is None


# -- entries of the fetched objects -----------------------------------------------------------------------------------


def _entries(facts: Facts) -> Iterator[Entry]:
    """Yield the entries for everything that was fetched, booked or not."""
    for stripe_id, invoice in facts.invoices.items():
        if invoice.get("payments") is None and invoice.get("status") == "paid" and invoice.get("amount_paid"):
            yield _invoice_entry(stripe_id, invoice)
        for payment in get_list(invoice, "payments"):
            if payment.get("status") == "paid" and payment.get("amount_paid"):
                yield _payment_entry(stripe_id, payment)
    for refund in facts.refunds:
        moved_back = refund.get("status") in FAILED_REFUNDS and refund.get("failure_balance_transaction")
        if refund.get("status") == "succeeded" or moved_back:
            yield _refund_entry(facts, refund, EntryKind.REFUND, f"{REFUND}{refund['id']}")
        if refund.get("status") in FAILED_REFUNDS:
            yield _refund_entry(facts, refund, EntryKind.REFUND_FAILED, f"{REFUND_FAILED}{refund['id']}")
    for dispute in facts.disputes:
        yield from _dispute_entries(facts, dispute)


def _payment_entry(invoice: str, payment: StripeObject) -> Entry:
    paid_by = payment.get("payment") or {}
    return {
        "source_id": f"in_payment:{payment['id']}",
        "kind": EntryKind.PAYMENT.value,
        "amount": payment["amount_paid"],
        "currency": str(payment.get("currency")).lower(),
        "stripe_invoice": invoice,
        "stripe_payment": get_id(paid_by.get("payment_intent")) or get_id(paid_by.get("charge")),
        "occurred_at": first_datetime(get_nested(payment, "status_transitions", "paid_at"), payment.get("created")),
    }


def _invoice_entry(stripe_id: str, invoice: StripeObject) -> Entry:
    """Book the paid amount of an invoice, for a Stripe stand-in that lists no payments."""
    return {
        "source_id": f"{WHOLE_INVOICE}{stripe_id}",
        "kind": EntryKind.PAYMENT.value,
        "amount": invoice["amount_paid"],
        "currency": str(invoice.get("currency")).lower(),
        "stripe_invoice": stripe_id,
        "stripe_payment": get_id(invoice.get("payment_intent")) or get_id(invoice.get("charge")),
        "occurred_at": first_datetime(get_nested(invoice, "status_transitions", "paid_at"), invoice.get("created")),
    }


def _dispute_entries(facts: Facts, dispute: StripeObject) -> Iterator[Entry]:
    """Yield what a dispute withdrew, and what it reinstated."""
    moved = [movement for movement in dispute.get("balance_transactions") or [] if isinstance(movement, dict)]
    sources = list_dispute_sources(dispute["id"])
    for kind, source, sign in zip((EntryKind.DISPUTE, EntryKind.DISPUTE_REVERSAL), sources, (-1, 1), strict=True):
        movement = next((movement for movement in moved if (movement.get("amount") or 0) * sign > 0), None)
        if movement is not None:
            at = {**dispute, "created": movement.get("created")}
            yield _refund_entry(facts, at, kind, source)


def list_dispute_sources(stripe_id: str) -> tuple[str, str]:
    """The ``source_id`` of what a dispute withdrew, and of what it reinstated."""
    return f"dispute:{stripe_id}:withdrawn", f"dispute:{stripe_id}:reinstated"


def _refund_entry(facts: Facts, obj: StripeObject, kind: EntryKind, source: str) -> Entry:
    """Make the entry of a refund or dispute: Stripe gives amounts without a sign, in the payment's currency."""
    sign = -1 if kind in {EntryKind.REFUND, EntryKind.DISPUTE} else 1
    return {
        "source_id": source,
        "kind": kind.value,
        "amount": sign * abs(obj.get("amount") or 0),
        "currency": str(obj.get("currency")).lower(),
        "stripe_invoice": None,
        "stripe_payment": facts.payment,
        "occurred_at": first_datetime(obj.get("created")),
    }
