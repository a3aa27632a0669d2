"""The ledger: what was fetched becomes entries, each once by its source; and what admins and the metrics read of it.

Entries are only ever added. A refund that fails after its money moved is booked with its opposite, so that a late word
of the refund, which then finds its source booked, changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, case, func, select
from sqlalchemy.orm import Session

from church.database.paging import newest_first
from church.database.upsert import add_once
from church.extensions import db
from church.models import LedgerEntry, User
from church.models.base import utc_now
from church.models.billing import EntryKind
from church.services import money
from church.services.billing.stripe.fetch import Facts
from church.services.billing.stripe.ledger_entries import OPPOSITE, WHOLE, bookings

_ENTRIES: Any = LedgerEntry.__table__
_BOOKED = select(_ENTRIES.c.id).where(_ENTRIES.c.source_id == bindparam("source"))
_PAYMENTS = select(_ENTRIES.c.source_id).where(
    _ENTRIES.c.stripe_invoice == bindparam("invoice"), _ENTRIES.c.kind == EntryKind.PAYMENT.value
)


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


def book(session: Session, facts: Facts) -> int:
    """Add what is not booked yet, in the caller's transaction; how many entries that were."""
    whose = {"user_id": facts.owner_id, "stripe_customer": facts.customer_id, "recorded_at": utc_now()}
    booked = 0
    for entry in bookings(facts):
        if not entry["amount"] or _is_doubled(session, entry) or _is_of_nothing(session, entry):
            continue
        booked += add_once(session, LedgerEntry, "source_id", {**entry, **whose}) is not None
    return booked


def _is_doubled(session: Session, entry: dict[str, Any]) -> bool:
    """Whether the same money is booked otherwise: by its payment where this is of the invoice, or the reverse."""
    if entry["kind"] != EntryKind.PAYMENT.value:
        return False
    whole = entry["source_id"].startswith(WHOLE)
    booked = session.scalars(_PAYMENTS, {"invoice": entry["stripe_invoice"]})
    return any(source.startswith(WHOLE) is not whole for source in booked)


def _is_of_nothing(session: Session, entry: dict[str, Any]) -> bool:
    """Whether it takes back a refund that is not booked: one that was cancelled before its money moved."""
    source = entry["source_id"]
    if entry["kind"] != EntryKind.REFUND_FAILED.value:
        return False
    return session.scalars(_BOOKED, {"source": f"refund:{source.removeprefix(OPPOSITE)}"}).first() is None


def list_ledger_entries(
    *, before_id: int | None = None, currency: str | None = None, user_ref: str | None = None, limit: int = 50
) -> list[EntryView]:
    """Entries, the newest first; ``before_id`` is the last one of the page before."""
    query = select(LedgerEntry, User.ref, User.name).join(User, User.id == LedgerEntry.user_id)
    if currency is not None:
        query = query.where(LedgerEntry.currency == currency)
    if user_ref is not None:
        query = query.where(User.ref == user_ref)
    with db.read() as session:
        found = session.execute(newest_first(query, LedgerEntry.id, before_id, limit)).all()
    return [_view(row, ref_, name) for row, ref_, name in found]


def _view(row: LedgerEntry, user_ref: str, user_name: str) -> EntryView:
    shown = money.display(row.amount, row.currency)
    return EntryView(
        row.id, row.kind, row.amount, row.currency, shown, row.occurred_at, row.source_id, row.stripe_invoice,
        user_ref, user_name,
    )  # fmt: skip


def list_months(limit: int = 60) -> list[MonthTotal]:
    """Totals of each currency and month, the latest month first; never summed over currencies."""
    with db.read() as session:
        month = _month(session).label("month")
        sums = (_sum(EntryKind.PAYMENT), _sum(EntryKind.REFUND, EntryKind.REFUND_FAILED))
        disputes = _sum(EntryKind.DISPUTE, EntryKind.DISPUTE_REVERSAL)
        query = select(month, LedgerEntry.currency, *sums, disputes, func.count()).group_by(month, LedgerEntry.currency)
        found = session.execute(query.order_by(month.desc(), LedgerEntry.currency).limit(limit)).all()
    return [MonthTotal(row[0], row[1], int(row[2]), int(row[3]), int(row[4]), row[5]) for row in found]


def _sum(*kinds: EntryKind) -> ColumnElement[int]:
    mine = LedgerEntry.kind.in_([kind.value for kind in kinds])
    return func.coalesce(func.sum(case((mine, LedgerEntry.amount), else_=0)), 0)


def _month(session: Session) -> ColumnElement[str]:
    if session.get_bind().dialect.name == "sqlite":
        return func.strftime("%Y-%m", LedgerEntry.occurred_at)
    return func.to_char(func.timezone("UTC", LedgerEntry.occurred_at), "YYYY-MM")
