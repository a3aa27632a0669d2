"""The ledger: what was fetched becomes entries, each once by its source; and what admins and the metrics read of it.

Entries are only ever added. A refund that fails is booked with its opposite, so that a late word of the refund, which
then finds its source booked, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from church.extensions import db
from church.models import LedgerEntry, User
from church.models.base import utc_now
from church.models.ledger import EntryKind
from church.services import money
from church.services.billing_facts import Facts
from church.services.billing_gateway import Obj
from church.services.billing_reading import first_moment, part, ref, rows
from church.services.billing_rows import add_once

_MOST = 200
_UNDONE = frozenset({"failed", "canceled"})


@dataclass(frozen=True)
class EntryView:
    """One entry, for a page of the admin area or an export."""

    id: int
    kind: str
    amount: int
    currency: str
    shown: str
    """The amount as people write it."""
    occurred_at: datetime
    source_id: str
    stripe_invoice: str | None
    user_ref: str
    user_name: str


@dataclass(frozen=True)
class MonthTotal:
    """What moved in a month (``2026-05``, UTC) in one currency, in minor units; ``net`` is their sum."""

    month: str
    currency: str
    payments: int
    refunds: int
    disputes: int
    count: int

    @property
    def net(self) -> int:
        """What stayed."""
        return self.payments + self.refunds + self.disputes


def bookings(facts: Facts) -> Iterator[dict[str, Any]]:
    """The entries that what was fetched amounts to, booked or not."""
    for stripe_id, invoice in facts.invoices.items():
        for payment in rows(invoice, "payments"):
            if payment.get("status") == "paid" and payment.get("amount_paid"):
                yield _payment(stripe_id, payment)
    for refund in facts.refunds:
        if refund.get("status") == "succeeded" or refund.get("status") in _UNDONE:
            yield _back(facts, refund, EntryKind.REFUND, f"refund:{refund['id']}")
        if refund.get("status") in _UNDONE:
            yield _back(facts, refund, EntryKind.REFUND_FAILED, f"refund_failed:{refund['id']}")
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


def book(session: Session, facts: Facts) -> int:
    """Add what is not booked yet, in the caller's transaction; how many entries that were."""
    whose = {"user_id": facts.owner_id, "stripe_customer": facts.customer_id, "recorded_at": utc_now()}
    booked = 0
    for entry in bookings(facts):
        if not entry["amount"]:
            continue
        booked += add_once(session, LedgerEntry, "source_id", {**entry, **whose}) is not None
    return booked


def entries(
    *, before_id: int | None = None, currency: str | None = None, user_ref: str | None = None, limit: int = 50
) -> list[EntryView]:
    """Entries, the newest first; ``before_id`` is the last one of the page before."""
    query = select(LedgerEntry, User.ref, User.name).join(User, User.id == LedgerEntry.user_id)
    if before_id is not None:
        query = query.where(LedgerEntry.id < before_id)
    if currency is not None:
        query = query.where(LedgerEntry.currency == currency)
    if user_ref is not None:
        query = query.where(User.ref == user_ref)
    with db.read() as session:
        found = session.execute(query.order_by(LedgerEntry.id.desc()).limit(min(limit, _MOST))).all()
    return [_view(row, ref_, name) for row, ref_, name in found]


def _view(row: LedgerEntry, user_ref: str, user_name: str) -> EntryView:
    shown = money.display(row.amount, row.currency)
    return EntryView(
        row.id, row.kind, row.amount, row.currency, shown, row.occurred_at, row.source_id, row.stripe_invoice,
        user_ref, user_name,
    )  # fmt: skip


def months(limit: int = 60) -> list[MonthTotal]:
    """Totals of each currency and month, the latest month first; never summed over currencies."""
    with db.read() as session:
        month = _month(session).label("month")
        sums = (_sum(EntryKind.PAYMENT), _sum(EntryKind.REFUND, EntryKind.REFUND_FAILED))
        disputes = _sum(EntryKind.DISPUTE, EntryKind.DISPUTE_REVERSAL)
        query = select(month, LedgerEntry.currency, *sums, disputes, func.count()).group_by(month, LedgerEntry.currency)
        found = session.execute(query.order_by(month.desc(), LedgerEntry.currency).limit(limit)).all()
    return [MonthTotal(row[0], row[1], int(row[2]), int(row[3]), int(row[4]), row[5]) for row in found]


def value_totals() -> list[tuple[str, Decimal, Decimal]]:
    """For the scrape: of each currency all payments and all refunds ever, in major units; neither ever falls.

    A refund that failed stays among the refunds: a counter can't take back.
    """
    query = select(LedgerEntry.currency, _sum(EntryKind.PAYMENT), _sum(EntryKind.REFUND))
    with db.read() as session:
        found = session.execute(query.group_by(LedgerEntry.currency).order_by(LedgerEntry.currency)).all()
    return [(row[0], money.major(int(row[1]), row[0]), money.major(-int(row[2]), row[0])) for row in found]


def _sum(*kinds: EntryKind) -> ColumnElement[int]:
    mine = LedgerEntry.kind.in_([kind.value for kind in kinds])
    return func.coalesce(func.sum(case((mine, LedgerEntry.amount), else_=0)), 0)


def _month(session: Session) -> ColumnElement[str]:
    if session.get_bind().dialect.name == "sqlite":
        return func.strftime("%Y-%m", LedgerEntry.occurred_at)
    return func.to_char(func.timezone("UTC", LedgerEntry.occurred_at), "YYYY-MM")
