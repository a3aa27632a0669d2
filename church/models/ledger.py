"""The ledger: every movement of money, once, in integer minor units. The database refuses to change or drop a row."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId


class EntryKind(StrEnum):
    """What moved the money; refunds and disputes are negative, what undoes them positive."""

    PAYMENT = "payment"
    REFUND = "refund"
    REFUND_FAILED = "refund_failed"
    DISPUTE = "dispute"
    DISPUTE_REVERSAL = "dispute_reversal"


class LedgerEntry(Base):
    """One movement. ``source_id`` names its cause at Stripe, so that nothing is booked twice."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        CheckConstraint("kind IN ('payment', 'refund', 'refund_failed', 'dispute', 'dispute_reversal')", name="kind"),
        CheckConstraint("(amount > 0) = (kind IN ('payment', 'refund_failed', 'dispute_reversal'))", name="sign"),
        CheckConstraint("amount <> 0", name="something"),
        Index("ix_ledger_entries_currency_occurred_at", "currency", "occurred_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    source_id: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    stripe_customer: Mapped[str]
    stripe_invoice: Mapped[str | None] = mapped_column(index=True)
    stripe_payment: Mapped[str | None] = mapped_column(index=True)
    """The payment intent, or the charge where there is none."""
    occurred_at: Mapped[datetime] = mapped_column(index=True)
    """When the money moved, by Stripe."""
    recorded_at: Mapped[datetime]
