"""Invoices as Stripe last told them, with the links to Stripe's own pages of them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText


class Invoice(Base):
    """One invoice of a subscription of ours; amounts are minor units of ``currency``."""

    __tablename__ = "invoices"
    __table_args__ = (Index("ix_invoices_user_id_created_at", "user_id", "created_at"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stripe_id: Mapped[str] = mapped_column(unique=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    stripe_subscription: Mapped[str | None] = mapped_column(index=True)
    number: Mapped[str | None] = mapped_column(PlainText)
    status: Mapped[str]
    """Stripe's word: draft, open, paid, uncollectible, void."""
    billing_reason: Mapped[str | None]
    currency: Mapped[str]
    total: Mapped[int] = mapped_column(BigInteger)
    amount_due: Mapped[int] = mapped_column(BigInteger)
    amount_paid: Mapped[int] = mapped_column(BigInteger)
    amount_remaining: Mapped[int] = mapped_column(BigInteger)
    attempts: Mapped[int] = mapped_column(default=0)
    problem: Mapped[str | None] = mapped_column(PlainText)
    """Why it can't be paid or finalised as things are: ``payment_failed``, ``action_required`` or Stripe's code."""
    hosted_url: Mapped[str | None] = mapped_column(PlainText)
    pdf_url: Mapped[str | None] = mapped_column(PlainText)
    created_at: Mapped[datetime]
    paid_at: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime | None]
    fetched_at: Mapped[datetime]
